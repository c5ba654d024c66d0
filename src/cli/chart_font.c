/* A small font of strokes, so that pictures need no font library. Two letters give a point: column and row from 'a' = 0; the baseline is
 * row e, lower-case letters reach row n, capitals row r, descenders row a. Strokes are separated by spaces: plain ones are polylines, `~` ones
 * are open and `@` ones closed quadratic B-splines over the points. */
#include "cli/chart.h"

#include <string.h>

enum { BASE = 4, CAP = 13, GAP = 3, CURVE_STEPS = 6, MAX_POINTS = 160 };

static const char *const glyph[95] = {
    /*   */ "",
    /* ! */ "brbi bebf",
    /* " */ "arao crco",
    /* # */ "becr eefr anhn aihi",
    /* $ */ "~gohrarakhlheaeah dsdd",
    /* % */ "@ancncrar @eegegiei aegr",
    /* & */ "~hebnbrfrfoahaefehk",
    /* ' */ "brbo",
    /* ( */ "~crajcc",
    /* ) */ "~arcjac",
    /* * */ "dqdj blfo bofl",
    /* + */ "ajgj dmdg",
    /* , */ "cfbc",
    /* - */ "ajfj",
    /* . */ "bebf",
    /* / */ "adfr",
    /* 0 */ "@aegegrar",
    /* 1 */ "bodrde",
    /* 2 */ "~aoargrgmcjae aege",
    /* 3 */ "~apbrgrglcl ~clglgebeag",
    /* 4 */ "fefraihi",
    /* 5 */ "frbral ~alcngngebeag",
    /* 6 */ "@aegegmam ~fraoai",
    /* 7 */ "argrce",
    /* 8 */ "@blflfrbr @aegeglal",
    /* 9 */ "@ajgjgrar ~gnghbe",
    /* : */ "bebf bmbn",
    /* ; */ "bmbn bfac",
    /* < */ "gnajgf",
    /* = */ "alfl ahfh",
    /* > */ "angjaf",
    /* ? */ "~apargrgmdldi dedf",
    /* @ */ "@cigigmcm @aeieirar",
    /* A */ "aeerie bihi",
    /* B */ "aear ~arhrhlal ~alilieae",
    /* C */ "~hohraraehehh",
    /* D */ "arae ~aririeae",
    /* E */ "graraege alfl",
    /* F */ "grarae alfl",
    /* G */ "~hohraraehehk hkek",
    /* H */ "arae hrhe alhl",
    /* I */ "brbe",
    /* J */ "frfi ~fifeaeai",
    /* K */ "arae hraj dlhe",
    /* L */ "araege",
    /* M */ "aearejirie",
    /* N */ "aearhehr",
    /* O */ "@aeieirar",
    /* P */ "aear ~arhrhkak",
    /* Q */ "@aeieirar fhid",
    /* R */ "aear ~arhrhkak dkhe",
    /* S */ "~gohrarakhlheaeah",
    /* T */ "arir eree",
    /* U */ "arai ~aiaehehi hihr",
    /* V */ "areeir",
    /* W */ "arcefoiekr",
    /* X */ "arhe hrae",
    /* Y */ "arejir ejee",
    /* Z */ "arhraehe",
    /* [ */ "craraccc",
    /* \ */ "arfd",
    /* ] */ "arcrccac",
    /* ^ */ "aodrgo",
    /* _ */ "adhd",
    /* ` */ "arbp",
    /* a */ "@aegegnan gnge",
    /* b */ "arae @aegegnan",
    /* c */ "~glfnanaefegg",
    /* d */ "grge @aegegnan",
    /* e */ "aigi ~gignanaefegg",
    /* f */ "~frcrcm cmce anen",
    /* g */ "@aegegnan gngd ~gdgabaab",
    /* h */ "arae ~ajangngj gjge",
    /* i */ "bnbe bqbr",
    /* j */ "cncc ~cccaaa cqcr",
    /* k */ "arae gnai ckge",
    /* l */ "brbe",
    /* m */ "anae ~ajanenej ejee ~ejeninij ijie",
    /* n */ "anae ~ajangngj gjge",
    /* o */ "@aegegnan",
    /* p */ "anaa @aegegnan",
    /* q */ "gnga @aegegnan",
    /* r */ "anae ~ajanen",
    /* s */ "~flfnanajgigeaeag",
    /* t */ "crcg ~cgcefe anfn",
    /* u */ "anai ~aiaegegi gnge",
    /* v */ "andegn",
    /* w */ "anceekgein",
    /* x */ "ange gnae",
    /* y */ "ande gnba",
    /* z */ "angnaege",
    /* { */ "~drbrbkaj ~ajbibcdc",
    /* | */ "bsbb",
    /* } */ "~arcrckdj ~djciccac",
    /* ~ */ "~ajamdkghgl",
};

/* Next character; one '?' for every code point outside ASCII. */
static char next_char(const char **text)
{
    unsigned char c = (unsigned char)*(*text)++;
    if (c < 0x80)
        return c >= ' ' && c < 0x7f ? (char)c : '?';
    while (((unsigned char)**text & 0xc0) == 0x80)
        (*text)++;
    return '?';
}

static int advance_of(char c)
{
    int widest = 2;
    for (const char *g = glyph[c - ' ']; *g; g++) {
        if (*g == '~' || *g == '@' || *g == ' ')
            continue;
        widest = g[0] - 'a' > widest ? g[0] - 'a' : widest;
        g++;
    }
    return widest + GAP;
}

double cs_font_width(const char *text, double size)
{
    double w = 0;
    while (*text)
        w += advance_of(next_char(&text));
    return w > 0 ? (w - GAP) * size / CAP : 0;
}

/* Quadratic Bezier a-b-c in CURVE_STEPS pieces, without its first point. */
static size_t curve(const double a[2], const double b[2], const double c[2], double (*out)[2])
{
    for (int i = 1; i <= CURVE_STEPS; i++) {
        double t = (double)i / CURVE_STEPS, u = 1 - t;
        for (int k = 0; k < 2; k++)
            out[i - 1][k] = u * u * a[k] + 2 * u * t * b[k] + t * t * c[k];
    }
    return CURVE_STEPS;
}

/* Points of one stroke in glyph units; kind ' ', '~' or '@'. Returns their number. */
static size_t flatten(char kind, double (*p)[2], size_t n, double (*out)[2])
{
    if (kind == ' ' || n < 3) {
        memcpy(out, p, n * sizeof *p);
        return n;
    }
    bool closed = kind == '@';
    size_t used = 1;
    for (int k = 0; k < 2; k++)
        out[0][k] = closed ? (p[n - 1][k] + p[0][k]) / 2 : p[0][k];
    for (size_t i = closed ? 0 : 1; i + (closed ? 0 : 1) < n; i++) {
        const double *next = p[(i + 1) % n];
        bool last = !closed && i + 2 == n;
        const double end[2] = {last ? next[0] : (p[i][0] + next[0]) / 2, last ? next[1] : (p[i][1] + next[1]) / 2};
        const double from[2] = {out[used - 1][0], out[used - 1][1]};
        used += curve(from, p[i], end, out + used);
    }
    return used;
}

static void draw_glyph(const char *g, double x, double y, double scale, void (*stroke)(void *arg, const double *xy, size_t n), void *arg)
{
    while (*g) {
        double p[16][2], out[MAX_POINTS][2];
        size_t n = 0;
        char kind = *g == '~' || *g == '@' ? *g++ : ' ';
        for (; *g && *g != ' '; g += 2, n++) {
            p[n][0] = g[0] - 'a';
            p[n][1] = g[1] - 'a' - BASE;
        }
        g += *g == ' ';
        n = flatten(kind, p, n, out);
        for (size_t i = 0; i < n; i++) {
            out[i][0] = x + out[i][0] * scale;
            out[i][1] = y - out[i][1] * scale;
        }
        stroke(arg, out[0], n);
    }
}

void cs_font_strokes(const char *text, double x, double y, double size, void (*stroke)(void *arg, const double *xy, size_t n), void *arg)
{
    double scale = size / CAP;
    while (*text) {
        char c = next_char(&text);
        draw_glyph(glyph[c - ' '], x, y, scale, stroke, arg);
        x += advance_of(c) * scale;
    }
}
