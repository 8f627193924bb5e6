/* libgpuvisibility-redirect.so, an auditor of the dynamic linker (LD_AUDIT, rtld-audit(7)): whoever asks for a CUDA
 * runtime gets the simulated one of LD_LIBRARY_PATH, and a process that asks for none loads none.
 *
 * LD_LIBRARY_PATH alone does not do: torch and others have the directory of their runtime in their DT_RPATH, which goes
 * before it, or ask for it by its full path. LD_PRELOAD does not either: it loads the libraries into every process, and
 * sanitizers refuse to come second.
 *
 * Called by the linker before anything is there: no library but the linker itself, so nothing of C's. */
#include <link.h>
#include <stddef.h>
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

/* The path with its file name replaced; as it is where that is too long. The linker calls with its lock held. */
static const char *beside(const char *path, const char *soname)
{
    static char replaced[4096];
    size_t directory = (size_t)(base_name(path) - path);
    for (size_t i = 0; i < sizeof replaced; i++) {
        replaced[i] = i < directory ? path[i] : soname[i - directory];
        if (!replaced[i])
            return replaced;
    }
    return path;
}

/* The linker asks for the name as it is wanted, then for each path that it would try; NULL: not that one. It keeps the
 * wanted name, by which versions of symbols are looked up, so that only the file opened is another: several names may
 * lead to one. */
EXPORT char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag)
{
    (void)cookie;
    const char *soname = stand_in(name);
    if (!soname)
        return (char *)name;
    switch (flag) {
    case LA_SER_ORIG:
        return (char *)base_name(name);
    case LA_SER_RUNPATH:
        return 0;
    case LA_SER_LIBPATH:
        return (char *)beside(name, soname);
    default:
        return (char *)name;
    }
}
