/* A model's config.json: an error, or sizes within bounds that written as config.json give the same sizes again. */
// seeds: $CS_SHARED_DATA/safetensors/tiny_model/config.json
#include "fuzz/fuzz.h"

#include "base/mem.h"
#include "fmt/json.h"
#include "model/spec.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *config = NULL, *back = NULL;
    cs_spec a, b;
    cs_error err = {0};
    if (cs_json_parse((const char *)data, size, "config.json", &config, &err) != CS_OK)
        return 0;
    cs_status s = cs_spec_from_json(&a, config, "config.json", &err);
    if (s == CS_OK) {
        cs_str text = {0};
        FUZZ_CHECK(cs_spec_check(&a, "f", &err) == CS_OK && cs_spec_n_params(&a) > 0 && cs_spec_n_matmul_params(&a) > 0);
        FUZZ_CHECK(cs_spec_to_json(&a, &text, &err) == CS_OK);
        FUZZ_CHECK(cs_json_parse(cs_str_cstr(&text), text.len, "again", &back, &err) == CS_OK);
        FUZZ_CHECK(cs_spec_from_json(&b, back, "again", &err) == CS_OK);
        FUZZ_CHECK(a.family == b.family && a.vocab_size == b.vocab_size && a.hidden == b.hidden && a.ffn == b.ffn && a.n_layers == b.n_layers);
        FUZZ_CHECK(a.n_heads == b.n_heads && a.n_kv_heads == b.n_kv_heads && a.head_dim == b.head_dim && a.max_pos == b.max_pos);
        FUZZ_CHECK(a.norm_eps == b.norm_eps && a.rope_theta == b.rope_theta && a.init_std == b.init_std && a.dtype == b.dtype);
        FUZZ_CHECK(a.bias_qkv == b.bias_qkv && a.bias_out == b.bias_out && a.bias_mlp == b.bias_mlp && a.tied_head == b.tied_head);
        FUZZ_CHECK((a.bos == b.bos || a.bos < 0) && (a.eos == b.eos || a.eos < 0) && (a.pad == b.pad || a.pad < 0));
        cs_str_release(&text);
    } else {
        FUZZ_CHECK(fuzz_refused(s, CS_E_FORMAT, &err));
    }
    json_decref(config);
    json_decref(back);
    return 0;
}
