"""What both libraries answer a program that goes to directory argv[1], initialises them, and moves on to argv[2]."""

import os
import sys

from answers import answers, show

os.chdir(sys.argv[1])
show(answers(once_initialised=lambda: os.chdir(sys.argv[2])))
