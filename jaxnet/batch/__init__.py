"""TODO"""

from jaxnet.batch._jobs import Job as Job
from jaxnet.batch._jobs import Step as Step
from jaxnet.batch._jobs import Tally as Tally
from jaxnet.batch._jobs import read as read
from jaxnet.batch._jobs import tables as tables
from jaxnet.batch._jobs import warm as warm
from jaxnet.batch._jobs import write_file as write_file
from jaxnet.batch._shards import write_shards as write_shards
from jaxnet.batch._tables import ENDINGS as ENDINGS
from jaxnet.batch._tables import Table as Table
from jaxnet.batch._tables import check_ending as check_ending
from jaxnet.batch._tables import json_lines as json_lines
from jaxnet.batch._tables import write_answers as write_answers
