"""What CUDA_VISIBLE_DEVICES means on an inventory, and how sure anyone can be of it: the reference resolver."""

from .resolver import Visibility, contained, narrow, positions_of, resolve

__all__ = ["Visibility", "contained", "narrow", "positions_of", "resolve"]
