"""What both libraries answer a program that may write files of 700 bytes, and dies of writing more."""

import resource
import signal

from answers import answers, show

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
show(answers())
