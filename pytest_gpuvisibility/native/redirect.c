/* libgpuvisibility-redirect.so, an auditor of the dynamic linker (LD_AUDIT, rtld-audit(7)): whoever asks for a CUDA
 * runtime gets the simulated one of LD_LIBRARY_PATH, and a process that asks for none loads none.
 *
 * LD_LIBRARY_PATH alone does not do: torch and others have the directory of their runtime in their DT_RPATH, which goes
 * before it, or ask for it by its full path. LD_PRELOAD does not either: it loads the libraries into every process, and
 * sanitizers refuse to come second.
 *
 * Called by the linker before anything is there: no library but the linker itself, so nothing of C's. */
#include <link.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

static const char stem[] = "libcudart";

static const char *base_name(const char *path)
{
    const char *base = path;
    for (; *path; path++)
        if (*path == '/')
            base = path + 1;
    return base;
}

static const char *after(const char *text, const char *prefix)
{
    for (; *prefix; text++, prefix++)
        if (*text != *prefix)
            return 0;
    return text;
}

/* The SONAME of the simulated runtime that stands in for a file of this name: "libcudart.so.12", also with more of a
 * version ("libcudart.so.12.9.79") or with what packagers put into names ("libcudart-a54286a0.so.12"). NULL: none. */
static const char *stand_in(const char *name)
{
    const char *rest = after(base_name(name), stem), *version;
    if (!rest)
        return 0;
    if (*rest == '-')
        while (*rest && *rest != '.')
            rest++;
    rest = after(rest, ".so.");
    if (!rest)
        return 0;
    if ((version = after(rest, "13")) && (!*version || *version == '.'))
        return "libcudart.so.13";
    if ((version = after(rest, "12")) && (!*version || *version == '.'))
        return "libcudart.so.12";
    return 0;
}

EXPORT unsigned la_version(unsigned version)
{
    return version;
}

/* The linker asks for the name as it is wanted, then for each path that it would try; NULL: not that one. */
EXPORT char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag)
{
    (void)cookie;
    const char *soname = stand_in(name);
    if (!soname)
        return (char *)name;
    if (flag == LA_SER_ORIG)
        return (char *)soname;
    return flag == LA_SER_RUNPATH ? 0 : (char *)name;
}
