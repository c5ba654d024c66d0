/* GPT-2 shows printable Latin-1 as itself and the other 68 bytes, in order, as U+0100... */
#include "text/byte_level.h"

#include "text/utf8.h"

int cs_byte_level_value(uint32_t cp)
{
    if ((cp >= 0x21 && cp <= 0x7e) || (cp >= 0xa1 && cp <= 0xac) || (cp >= 0xae && cp <= 0xff))
        return (int)cp;
    if (cp < 0x100 || cp > 0x143)
        return -1;
    int k = (int)cp - 0x100;
    return k < 33 ? k : k < 67 ? k - 33 + 0x7f : 0xad;
}

static uint32_t shown(uint8_t b)
{
    if (b < 0x21)
        return 0x100u + b;
    if (b >= 0x7f && b < 0xa1)
        return 0x100u + 33 + b - 0x7f;
    return b == 0xad ? 0x143 : b;
}

void cs_byte_level_put(cs_view text, cs_mapped *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t utf8[4];
        size_t n = cs_utf8_encode(shown((uint8_t)text.text[i]), utf8);
        cs_mapped_put(out, utf8, n, cs_view_at(text, i));
    }
}

bool cs_byte_level_bytes(const char *text, size_t len, cs_str *out)
{
    size_t before = out->len;
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t cp;
        n = cs_utf8_decode((const uint8_t *)text + i, len - i, &cp);
        int byte = n > 0 ? cs_byte_level_value(cp) : -1;
        if (byte < 0) {
            out->len = before;
            return false;
        }
        cs_str_putc(out, (char)byte);
    }
    return true;
}
