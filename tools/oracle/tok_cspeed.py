"""libcspeed's tokenizers through ctypes: bytes in, ids out, nothing of a command line between."""
import ctypes as C

SPECIAL, PARSE_SPECIAL = 1, 2


class Str(C.Structure):
    _fields_ = [("data", C.c_void_p), ("len", C.c_size_t), ("cap", C.c_size_t), ("failed", C.c_bool)]


class Error(C.Structure):
    _fields_ = [("status", C.c_int), ("msg", C.c_char * 4000)]


class Refused(Exception):
    pass


class Cspeed:
    def __init__(self, lib, path):
        L = self.L = C.CDLL(lib)
        for name in ("cs_tokenizer_encode", "cs_tokenizer_encode_ranges", "cs_tokenizer_decode", "cs_tokenizer_create", "cs_detok_push"):
            if hasattr(L, name):
                getattr(L, name).restype = C.c_int
        self.ids, self.ranges, self.text = Str(), Str(), Str()
        self.err = Error()
        self.detok = C.create_string_buffer(1 << 16)
        self.tok = C.c_void_p()
        if L.cs_tokenizer_create(str(path).encode(), C.byref(self.tok), C.byref(self.err)) != 0:
            raise Refused(self.err.msg.decode("utf-8", "replace"))
        self.n = L.cs_tokenizer_vocab_size(self.tok)
        self.bos = L.cs_tokenizer_bos(self.tok)

    def close(self):
        self.L.cs_tokenizer_destroy(self.tok)

    def fail(self):
        raise Refused(self.err.msg.decode("utf-8", "replace"))

    def encode(self, text, flags=0):
        self.ids.len = 0
        if self.L.cs_tokenizer_encode(self.tok, text, C.c_size_t(len(text)), flags, C.byref(self.ids), C.byref(self.err)) != 0:
            self.fail()
        n = self.ids.len
        return list((C.c_int32 * n).from_address(self.ids.data)) if n else []

    def offsets(self, text, flags=0):
        """Ids and (begin, end) in bytes of each."""
        self.ids.len = self.ranges.len = 0
        if self.L.cs_tokenizer_encode_ranges(self.tok, text, C.c_size_t(len(text)), flags, C.byref(self.ids), C.byref(self.ranges), C.byref(self.err)) != 0:
            self.fail()
        n = self.ids.len
        r = list((C.c_int32 * (2 * n)).from_address(self.ranges.data)) if n else []
        return (list((C.c_int32 * n).from_address(self.ids.data)) if n else []), list(zip(r[::2], r[1::2]))

    def decode(self, ids, keep=False):
        n = len(ids)
        self.text.len = 0
        if self.L.cs_tokenizer_decode(self.tok, (C.c_int32 * n)(*ids), C.c_size_t(n), C.c_bool(keep), C.byref(self.text), C.byref(self.err)) != 0:
            self.fail()
        return C.string_at(self.text.data, self.text.len) if self.text.len else b""

    def stream(self, ids, cuts):
        """The pieces of text that come when ids arrive in groups of the given sizes; each must be whole UTF-8."""
        out, at, cuts = [], 0, iter(cuts)
        C.memset(self.detok, 0, len(self.detok))
        push, detok, tok, text, err = self.L.cs_detok_push, self.detok, self.tok, C.byref(self.text), C.byref(self.err)
        while at < len(ids):
            step = next(cuts)
            self.text.len = 0
            for id in ids[at:at + step]:
                if push(detok, tok, id, text, err) != 0:
                    self.fail()
            at += step
            out.append(C.string_at(self.text.data, self.text.len) if self.text.len else b"")
        self.text.len = 0
        self.L.cs_detok_finish(self.detok, C.byref(self.text))
        out.append(C.string_at(self.text.data, self.text.len) if self.text.len else b"")
        return out
