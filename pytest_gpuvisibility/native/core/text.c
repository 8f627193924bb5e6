#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void gv_text_bytes(struct gv_text *text, const char *bytes, size_t count)
{
    if (text->length < text->size) {
        size_t room = text->size - text->length;
        memcpy(text->data + text->length, bytes, count < room ? count : room);
    }
    text->length += count;
}

void gv_text_format(struct gv_text *text, const char *format, ...)
{
    char buffer[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    if (length > 0)
        gv_text_bytes(text, buffer, (size_t)length < sizeof buffer ? (size_t)length : sizeof buffer - 1);
}

/* Length of the UTF-8 sequence at `byte`, or 0 where there is none (RFC 3629: no surrogates, nothing overlong). */
static size_t utf8_length(const unsigned char *byte, size_t available)
{
    unsigned char first = byte[0], low = 0x80, high = 0xbf;
    size_t length;
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        length = 2;
    else if (first >= 0xe0 && first <= 0xef)
        length = 3;
    else if (first >= 0xf0 && first <= 0xf4)
        length = 4;
    else
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (available < length || byte[1] < low || byte[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* How many bytes at the start stand for themselves in JSON and are one character each: nearly all of nearly any text. */
static size_t plain_length(const unsigned char *byte, size_t count)
{
    size_t i = 0;
    while (i < count && byte[i] >= 0x20 && byte[i] < 0x80 && byte[i] != '"' && byte[i] != '\\')
        i++;
    return i;
}

void gv_text_json_bytes(struct gv_text *text, const char *bytes, size_t count)
{
    const unsigned char *byte = (const unsigned char *)bytes;
    count = strnlen(bytes, count);
    gv_text_bytes(text, "\"", 1);
    for (size_t i = 0; i < count;) {
        size_t plain = plain_length(byte + i, count - i);
        gv_text_bytes(text, bytes + i, plain);
        i += plain;
        if (i == count)
            break;
        size_t length = utf8_length(byte + i, count - i);
        if (length == 0)
            gv_text_format(text, "\\udc%02x", byte[i]);
        else if (byte[i] == '"' || byte[i] == '\\')
            gv_text_format(text, "\\%c", byte[i]);
        else if (byte[i] < 0x20)
            gv_text_format(text, "\\u%04x", byte[i]);
        else
            gv_text_bytes(text, bytes + i, length);
        i += length ? length : 1;
    }
    gv_text_bytes(text, "\"", 1);
}

void gv_text_json(struct gv_text *text, const char *string)
{
    if (string)
        gv_text_json_bytes(text, string, strlen(string));
    else
        gv_text_bytes(text, "null", 4);
}
