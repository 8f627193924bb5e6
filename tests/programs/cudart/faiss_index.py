"""An index of faiss on the second device, to which vectors are added."""

import faiss
import numpy

options = faiss.GpuIndexFlatConfig()
options.device = 1
index = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), 16, options)
index.add(numpy.zeros((10, 16), dtype="float32"))
print(index.ntotal)
