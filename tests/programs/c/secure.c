/* Whether it runs with more rights than who started it, and what cuInit of the library named last answers it. */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/auxv.h>

int main(int count, char **arguments)
{
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(dlopen(arguments[count - 1], RTLD_NOW), "cuInit");
    printf("%d %d", (int)getauxval(AT_SECURE), init(0));
    return 0;
}
