/* Text and JSON written into a buffer of fixed size. */
#ifndef GPUVISIBILITY_TEXT_H
#define GPUVISIBILITY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* `length` counts what was asked for, also beyond `size`, as snprintf does; nothing is written beyond `size`. */
struct gv_text {
    char *data;
    size_t size, length;
};

void gv_text_bytes(struct gv_text *text, const char *bytes, size_t count);
void gv_text_format(struct gv_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string of at most `count` bytes up to a NUL. A byte that is not UTF-8 becomes \udcXX, as Python's
 * surrogateescape has it. gv_text_json writes a whole string, or null for NULL. */
void gv_text_json_bytes(struct gv_text *text, const char *bytes, size_t count);
void gv_text_json(struct gv_text *text, const char *string);

#endif
