/* See split.h. */
#include "data/split.h"

#include "base/options.h"

#include <math.h>
#include <string.h>

cs_status cs_split_parse(const char *text, double share[3], cs_error *err)
{
    double sum = 0;
    int n = 0;
    const char *p = text;
    share[0] = share[1] = share[2] = 0;
    for (;;) {
        char word[64];
        size_t len = strcspn(p, ",/");
        const char *from = p, *end = p + len;
        while (from < end && *from == ' ')
            from++;
        while (end > from && end[-1] == ' ')
            end--;
        double v = 0;
        if (n == 3 || (size_t)(end - from) >= sizeof word)
            return cs_fail(err, CS_E_USAGE, "--split '%s': at most three numbers, for train, valid and test", text);
        memcpy(word, from, (size_t)(end - from));
        word[end - from] = '\0';
        if (!cs_parse_real(word, &v) || !(v >= 0) || isinf(v))
            return cs_fail(err, CS_E_USAGE, "--split '%s': '%s' is not a number >= 0", text, word);
        share[n++] = v;
        sum += v;
        if (p[len] == '\0')
            break;
        p += len + 1;
    }
    if (!(sum > 0) || isinf(sum))
        return cs_fail(err, CS_E_USAGE, "--split '%s': the numbers must have a positive sum", text);
    for (int i = 0; i < 3; i++)
        share[i] /= sum;
    return CS_OK;
}

void cs_split_borders(const double share[3], int64_t n, int64_t border[4])
{
    border[0] = 0;
    for (int i = 0; i < 3; i++)
        border[i + 1] = border[i] + (int64_t)rint(share[i] * (double)n);
    int64_t surplus = border[3] - n;
    for (int i = 1; i < 4; i++) {
        border[i] -= surplus;
        border[i] = border[i] < border[i - 1] ? border[i - 1] : border[i] > n ? n : border[i];
    }
}
