"""TODO"""

from jaxnet.runs._options import AUGMENTS as AUGMENTS
from jaxnet.runs._options import COSTS as COSTS
from jaxnet.runs._options import OPTIMIZERS as OPTIMIZERS
from jaxnet.runs._options import SCHEDULES as SCHEDULES
from jaxnet.runs._options import Options as Options
from jaxnet.runs._record import check_output as check_output
from jaxnet.runs._record import is_finished as is_finished
from jaxnet.runs._record import write as write
from jaxnet.runs._run import Diverged as Diverged
from jaxnet.runs._run import Progress as Progress
from jaxnet.runs._run import begin as begin
from jaxnet.runs._run import identity as identity
from jaxnet.runs._run import read as read
