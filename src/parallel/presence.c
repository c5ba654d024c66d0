/* The walk. A model without a pipeline: each micro-batch's backward follows its forward. */
#include "parallel/presence.h"

#include "parallel/dp.h"
#include "parallel/walk.h"

typedef struct walk {
    const cs_layout *l;
    const cs_presence_unit *unit;
    int64_t n_layers, piece; /* piece: elements that go to a rank as one */
    bool tied;
    int64_t store, acc; /* bytes of an element */
    cs_presence most;
    int64_t most_bytes;
} walk;

static int64_t others(const cs_presence_unit *u)
{
    return u->n - u->own;
}

static const cs_presence_unit *layer(const walk *w, int64_t i)
{
    return &w->unit[CS_PRESENCE_FIRST_LAYER + i];
}

static int64_t embedding(const walk *w)
{
    return others(&w->unit[CS_PRESENCE_EMBED]);
}

/* Gathered for a forward pass through `i`: -1 the embedding, n_layers the head, behind it nothing. */
static int64_t read_forward(const walk *w, int64_t i)
{
    if (i < 0)
        return embedding(w) + others(&w->unit[CS_PRESENCE_EMBED_NORM]);
    return i > w->n_layers ? 0 : others(layer(w, i)) + (i == w->n_layers && w->tied ? embedding(w) : 0);
}

static void at(walk *w, int64_t weights, int64_t grads, int64_t packed)
{
    bool moves = w->l->zero >= 3;
    cs_presence now = {w->most.own, moves ? weights : 0, grads, moves ? packed : 0};
    int64_t bytes = cs_walk_add(cs_walk_add(cs_walk_mul(now.weights, w->store), cs_walk_mul(now.grads, w->acc)), now.packed);
    if (bytes > w->most_bytes) {
        w->most = now;
        w->most_bytes = bytes;
    }
}

/* Gradients of head and, where it is tied, embedding are made in the head's forward pass. */
static int64_t head_grads(const walk *w)
{
    return others(layer(w, w->n_layers)) + (w->tied ? embedding(w) : 0);
}

static void forward(walk *w)
{
    for (int64_t i = -1; i < w->n_layers; i++)
        at(w, read_forward(w, i) + read_forward(w, i + 1), 0, i < 0 ? 0 : layer(w, i)->pack[0]);
    const cs_presence_unit *head = w->tied ? &w->unit[CS_PRESENCE_EMBED] : layer(w, w->n_layers);
    at(w, read_forward(w, w->n_layers), head_grads(w), cs_walk_add(head->pack[0], head->pack[1]));
}

/* Layers [lo, hi), all gathered with the one before them; where products are computed again there are packed copies of the forward pass too. */
static void backward_group(walk *w, int64_t lo, int64_t hi)
{
    int64_t weights = lo > 0 ? others(layer(w, lo - 1)) : others(&w->unit[CS_PRESENCE_EMBED_NORM]), packed = 0;
    bool again = (cs_layout_drop(w->l, 0, 0, lo) & (CS_DROP_LAYER | CS_DROP_QKV | CS_DROP_UP)) != 0;
    for (int64_t i = lo; i < hi; i++) {
        weights += others(layer(w, i));
        packed = cs_walk_add(packed, again ? layer(w, i)->pack[0] : 0);
    }
    for (int64_t i = hi - 1; i >= lo; i--) { /* the layer behind is being summed */
        int64_t tied = w->tied && i + 1 < w->n_layers ? embedding(w) : 0, behind = i + 1 == w->n_layers ? head_grads(w) : others(layer(w, i + 1));
        at(w, weights, others(layer(w, i)) + behind + tied, cs_walk_add(packed, layer(w, i)->pack[1]));
        weights -= others(layer(w, i));
        packed -= again ? layer(w, i)->pack[0] : 0;
    }
}

static void backward(walk *w, int64_t final_norm)
{
    const cs_presence_unit *last = layer(w, w->n_layers - 1);
    at(w, final_norm + others(last), head_grads(w), 0);
    for (int64_t end = w->n_layers, i = w->n_layers - 1; i >= 0; i--)
        if (i == 0 || cs_layout_ends_group(w->l, 0, 0, i - 1)) {
            backward_group(w, i, end);
            end = i;
        }
    int64_t norm = others(&w->unit[CS_PRESENCE_EMBED_NORM]);
    at(w, norm, embedding(w) + norm + others(layer(w, 0)), 0);
}

static cs_presence_unit *unit_of(cs_presence_unit *unit, const cs_param_group *g)
{
    return &unit[g->layer >= 0 ? CS_PRESENCE_FIRST_LAYER + g->layer : g->replicated ? CS_PRESENCE_EMBED_NORM : CS_PRESENCE_EMBED];
}

/* Of rank r: its parts, and what it holds beyond them when that is most. */
static void walk_rank(walk *w, const cs_param_table *t, cs_presence_unit *unit, int64_t r)
{
    int64_t final_norm = 0;
    w->most = (cs_presence){0};
    w->most_bytes = 0;
    for (int64_t i = 0; i < w->n_layers + 3; i++)
        unit[i].own = unit[i].n = 0;
    for (int64_t g = 0; g < t->n_groups; g++) {
        const cs_param_group *p = &t->group[g];
        int64_t n = p->hi - p->lo, own = cs_dp_part(t, w->piece, g, r, w->l->dp);
        unit_of(unit, p)->n += n;
        unit_of(unit, p)->own += own;
        w->most.own += own;
        final_norm += p->layer == w->n_layers && p->replicated ? n - own : 0;
    }
    if (w->l->zero >= 2) {
        forward(w);
        backward(w, final_norm);
    }
}

cs_presence cs_presence_most(const cs_param_table *t, const cs_layout *l, int64_t state, cs_presence_unit *unit)
{
    walk w = {.l = l, .unit = unit, .n_layers = (t->n_rows - CS_ROW_FIRST_LAYER) / CS_ROW_PER_LAYER, .piece = cs_dp_unit(t),
              .tied = t->row[CS_ROW_HEAD].n_parts == 0,
              .store = (int64_t)cs_dtype_size(t->prec.store), .acc = (int64_t)cs_dtype_size(t->prec.acc)};
    int64_t each = state + (l->zero >= 2 ? w.acc : 0) + (l->zero >= 3 ? w.store : 0), most_bytes = -1;
    cs_presence most = {0};
    for (int64_t r = 0; r < l->dp; r++) {
        walk_rank(&w, t, unit, r);
        int64_t bytes = cs_walk_add(cs_walk_mul(w.most.own, each), w.most_bytes);
        if (bytes > most_bytes) {
            most = w.most;
            most_bytes = bytes;
        }
    }
    return most;
}
