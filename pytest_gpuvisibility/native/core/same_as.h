/* An older or another name of a function, with the same arguments and answers: the same code under both. It stands in the
 * file of the function, and the compiler refuses it where the header gives the two different types. */
#ifndef GPUVISIBILITY_SAME_AS_H
#define GPUVISIBILITY_SAME_AS_H

#define SAME_AS(name, function) extern __typeof__(function) name __attribute__((alias(#function)))

#endif
