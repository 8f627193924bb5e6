/* A function that has an older or another name too, with the same arguments and the same answers: the same code under
 * both. The compiler refuses it where the header gives the two different types. It stands in the file of the function. */
#ifndef GPUVISIBILITY_SAME_AS_H
#define GPUVISIBILITY_SAME_AS_H

#define SAME_AS(name, function) extern __typeof__(function) name __attribute__((alias(#function)))

#endif
