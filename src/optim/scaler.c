/* Loss scaling. */
#include "optim/scaler.h"

#include <math.h>

#define FIELD(name) offsetof(cs_scaler_options, name)

const cs_option cs_scaler_option_rows[] = {
    {"loss-scale", CS_OPT_REAL, FIELD(constant), "0", "0..", "constant scale of the loss with --fp16; 0 = dynamic", NULL},
    {"initial-loss-scale", CS_OPT_REAL, FIELD(initial), "4294967296", "0..", "first scale of the loss with --fp16", NULL},
    {"min-loss-scale", CS_OPT_REAL, FIELD(min), "1", "0..", "the scale never falls below this", NULL},
    {"loss-scale-window", CS_OPT_INT, FIELD(window), "1000", "1..", "steps without overflow before the scale doubles", NULL},
    {"hysteresis", CS_OPT_INT, FIELD(hysteresis), "2", "1..", "overflows that are borne before the scale halves", NULL},
    {"consecutive-hysteresis", CS_OPT_FLAG, FIELD(consecutive), NULL, NULL, "a step without overflow makes the hysteresis full again", NULL},
};
const size_t cs_scaler_n_option_rows = sizeof cs_scaler_option_rows / sizeof cs_scaler_option_rows[0];

cs_status cs_scaler_check(const cs_scaler_options *o, cs_error *err)
{
    cs_status s = CS_OK;
    if (!(o->min > 0) || !isfinite(o->min))
        s = cs_fail_also(err, CS_E_USAGE, "--min-loss-scale: expected a number above 0");
    if (!(o->initial >= o->min) || !isfinite(o->initial))
        s = cs_fail_also(err, CS_E_USAGE, "--initial-loss-scale: expected a number of at least --min-loss-scale");
    if (!isfinite(o->constant))
        s = cs_fail_also(err, CS_E_USAGE, "--loss-scale: expected a number");
    return s;
}

cs_scaler cs_scaler_start(const cs_scaler_options *o, bool on)
{
    return (cs_scaler){.scale = !on ? 1 : o->constant > 0 ? o->constant : o->initial, .hysteresis = o->hysteresis};
}

bool cs_scaler_update(cs_scaler *s, const cs_scaler_options *o, bool overflow)
{
    if (o->constant > 0)
        return !overflow;
    if (!overflow) {
        if (o->consecutive)
            s->hysteresis = o->hysteresis;
        if (++s->good == o->window) {
            s->good = 0;
            s->hysteresis = o->hysteresis;
            s->scale *= 2;
        }
        return true;
    }
    bool could_fall = s->scale > o->min;
    s->good = 0;
    if (--s->hysteresis <= 0)
        s->scale = fmax(s->scale / 2, o->min);
    return could_fall;
}
