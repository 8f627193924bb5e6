/* The pages behind device memory: parts of one sparse memory file of the process, so that another process can be given
 * them. Where no such file can be had they are anonymous, and cannot. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cuda_memory.h"

#define ARENA_SIZE (INT64_C(1) << 60) /* only addresses: no offset is ever used twice */

/* Under GV_LOCK_CUDA. */
static struct gv_origin arena = {.file = -1};

bool gv_file_is(int file, uint64_t device, uint64_t inode)
{
    struct stat status;
    return file >= 0 && fstat(file, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

static bool open_arena(void)
{
    struct rlimit longest;
    struct stat status;
    /* The program may have closed every descriptor that it does not know. */
    if (gv_file_is(arena.file, arena.device, arena.inode))
        return true;
    arena.file = -1;
    /* A file that grows beyond the limit gets the process a SIGXFSZ. */
    if (getrlimit(RLIMIT_FSIZE, &longest) || longest.rlim_cur < (rlim_t)ARENA_SIZE)
        return false;
    int file = memfd_create("gpu-visibility", MFD_CLOEXEC);
    if (file < 0)
        return false;
    if (ftruncate(file, ARENA_SIZE) || fstat(file, &status)) {
        close(file);
        return false;
    }
    arena = (struct gv_origin){file, status.st_dev, status.st_ino, 0};
    return true;
}

void *gv_pages_new(size_t size, struct gv_origin *origin)
{
    const int protection = PROT_READ | PROT_WRITE;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *origin = (struct gv_origin){.file = -1};
    if (size > (size_t)ARENA_SIZE)
        return NULL;
    if (open_arena() && arena.offset + size < (uint64_t)ARENA_SIZE - page) {
        void *pages = mmap(NULL, size, protection, MAP_SHARED | MAP_NORESERVE, arena.file, (off_t)arena.offset);
        if (pages != MAP_FAILED) {
            *origin = arena;
            arena.offset += (size + page - 1) & ~(page - 1);
            return pages;
        }
    }
    void *pages = mmap(NULL, size, protection, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

/* The file keeps what is only unmapped. */
void gv_pages_free(void *pages, size_t size)
{
    madvise(pages, size, MADV_REMOVE);
    munmap(pages, size);
}
