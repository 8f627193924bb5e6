"""A program of a few lines, which are its argument."""

import os
import sys

import client
import torch

exec(sys.argv[1], {**vars(client), "os": os, "sys": sys, "torch": torch})
