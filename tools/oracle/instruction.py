#!/usr/bin/env python3
"""What the handlers of `cspeed preprocess` must write, worked out from the description of AscendSpeed's data files with the tokenizers of
HF tokenizers and SentencePiece; shares no code with the program.

usage: instruction.py goldens TESTS_DIR SHARED_DATA            writes TESTS_DIR/golden/instruction/{records.jsonl,goldens.json}
       instruction.py compare CSPEED TESTS_DIR SHARED_DATA     runs the program on whole files and compares every byte; exit 1 when one differs

Cases: every handler on made-up records (records.jsonl, of which each has the keys of all handlers) with the small tokenizers of tests/data, and on the
files of the shared data with LLaMA's, GPT-2's and InternLM's. A golden holds the CRC-32 of every .bin and .idx and the start of the first sample.
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import sentencepiece as spm
from tokenizers import Tokenizer

SYSTEM = ("Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately "
          "completes the request. Please note that you need to think through your response logically and step by step.")
PRETRAIN = ("A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the "
            "user's questions.USER: Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
            "### Instruction:\n{}\n\n{}### Response: ASSISTANT: {}")
IGNORED = -100


class Json:
    """tokenizer.json: what it adds by itself counts."""

    def __init__(self, path, eos):
        self.t = Tokenizer.from_file(str(path))
        self.eos, self.vocab = eos, max(self.t.get_vocab().values()) + 1

    def encode(self, text):
        return self.t.encode(text).ids

    def bare(self, text):
        return self.t.encode(text, add_special_tokens=False).ids

    def front(self):
        full, plain = self.encode("a"), self.bare("a")
        return full[:len(full) - len(plain)]


class Spm:
    """tokenizer.model: BOS in front; the names of control pieces in the text are those pieces."""

    def __init__(self, path):
        self.s = spm.SentencePieceProcessor(model_file=str(path))
        self.eos, self.vocab = self.s.eos_id(), self.s.get_piece_size()
        self.special = {self.s.id_to_piece(i): i for i in range(self.vocab) if self.s.is_control(i) or self.s.is_unknown(i)}

    def bare(self, text):
        if any(name in text for name in self.special):
            raise ValueError("a special token in the text: this oracle does not know the rule")
        return self.s.encode(text)

    def encode(self, text):
        return [self.s.bos_id()] + self.bare(text)

    def front(self):
        return [self.s.bos_id()]


def render(turns, system=SYSTEM):
    text = "\n" + system + "\n"
    for role, content in turns:
        text += ("### Instruction:\n" if role == "user" else "### Response:\n") + content + "\n"
    return text


class Out:
    """One record's sequences: [(ids, mask, labels)] for samples, [ids] for documents."""

    def __init__(self, tok, eod, prompt):
        self.tok, self.eod, self.prompt = tok, eod, prompt

    def whole(self, text, eod):
        ids = list(self.tok.encode(text))
        labels = list(ids)
        if eod and self.eod:
            ids.append(self.tok.eos)
            labels.append(self.tok.eos)
        if not self.prompt:
            mark = "### Response:\n"
            n = len(self.tok.encode(text[:text.rindex(mark)] + mark))
            for i in range(min(n, len(labels))):
                labels[i] = IGNORED
        return ids, [1] * len(ids), labels

    def talk(self, turns, system):
        """Turn by turn; every answer counts, and its EOD."""
        while turns and turns[-1][0] != "assistant":
            turns = turns[:-1]
        ids = self.tok.front()
        labels = [IGNORED] * len(ids)
        pending = "\n" + (system or SYSTEM) + "\n"
        for role, content in turns:
            if role == "user":
                pending += "### Instruction:\n" + content + "\n"
                continue
            asked, said = self.tok.bare(pending + "### Response:\n"), self.tok.bare(content + "\n")
            if self.eod:
                said = said + [self.tok.eos]
            ids += asked + said
            labels += [IGNORED] * len(asked) + said
            pending = ""
        if self.prompt:
            labels = list(ids)
        return ids, [1] * len(ids), labels

    def document(self, text):
        ids = list(self.tok.encode(text))
        return ids + [self.tok.eos] if self.eod else ids

    # handlers ----------------------------------------------------------------
    def GeneralPretrainHandler(self, r):
        return [self.document(r["text"])]

    def AlpacaPretrainHandler(self, r):
        section = "### Input:\n" + r["input"] + "\n\n" if r["input"] else ""
        return [self.document(PRETRAIN.format(r["instruction"], section, r["output"]))]

    def StackOverflowPythonPretrainHandler(self, r):
        return [self.document(f"In python, {r['title']}\n### Question:\n{r['question_body']}\n### Response:\n{r['answer_body']}\n")]

    def GeneralInstructionHandler(self, r):
        return [self.whole(render([("user", r["instruction"] + "\n" + r["input"]), ("assistant", r["output"])]), True)]

    def BelleMultiTurnInstructionHandler(self, r):
        turns = []
        for part in r["instruction"].split("Human:"):
            if part:
                pieces = part.split("Assistant:")
                if len(pieces) > 1:
                    turns.append(("user", pieces[0].strip()))
                    turns.append(("assistant", pieces[1].strip()))
                else:
                    turns.append(("assistant", pieces[0].strip()))
        turns[-1] = ("assistant", r["output"].strip())
        return [self.whole(render(turns), True)]

    def moss_turns(self, r):
        for turn in r["chat"].values():
            if turn:
                yield (turn["Human"].replace("<eoh>", "").replace("<|Human|>: ", "").strip(),
                       turn["MOSS"].replace("<|MOSS|>:", "").replace("<eom>", "").strip())

    def MOSSInstructionHandler(self, r):
        turns, samples = [], []
        for user, assistant in self.moss_turns(r):
            turns += [("user", user), ("assistant", assistant)]
            samples.append(self.whole(render(turns), False))
        return samples

    def MOSSMultiTurnHandler(self, r):
        ids, labels = [], []
        for user, assistant in self.moss_turns(r):
            u, a = self.tok.encode(user), self.tok.encode(assistant)
            ids += [195] + u + [196] + a
            labels += [self.tok.eos] + [IGNORED] * (len(u) + 1) + a
        ids.append(self.tok.eos)
        labels.append(self.tok.eos)
        return [(ids, [1] * len(ids), list(ids) if self.prompt else labels)]

    def LeetcodePythonInstructionHandler(self, r):
        return [self.whole(render([("user", r["code_with_problem"].split("```")[0].strip()),
                                   ("assistant", r["code_only"] + "\n" + r["explanation_only"])]), True)]

    def alpaca(self, r):
        turns = []
        for q, a in r.get("history") or []:
            turns += [("user", q), ("assistant", a)]
        asked = r["instruction"] + ("\n" + r["input"] if r["input"] else "")
        return [self.talk(turns + [("user", asked), ("assistant", r["output"])], r.get("system"))]

    def sharegpt(self, r):
        role = {"human": "user", "observation": "user", "gpt": "assistant", "function_call": "assistant", "system": "system"}
        return self.messages([(role[t["from"]], t["value"]) for t in r["conversations"]], r.get("system"))

    def openai(self, r):
        return self.messages([("user" if t["role"] == "tool" else t["role"], t["content"]) for t in r["messages"]], None)

    def messages(self, turns, system):
        if turns[0][0] == "system":
            system, turns = system or turns[0][1], turns[1:]
        return [self.talk(turns, system)]


SAMPLES = ("packed_input_ids", "packed_attention_mask", "packed_labels")
TEXT = {"GeneralPretrainHandler", "AlpacaPretrainHandler", "StackOverflowPythonPretrainHandler"}


def pair(documents, width):
    """.bin and .idx of a list of documents, each a list of sequences."""
    flat = [seq for doc in documents for seq in doc]
    fmt = {2: "H", 4: "i"}[width]
    binary = b"".join(struct.pack(f"<{len(s)}{fmt}", *s) for s in flat)
    index = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, {2: 8, 4: 4}[width], len(flat), len(documents) + 1)
    index += struct.pack(f"<{len(flat)}i", *[len(s) for s in flat])
    at, offsets = 0, []
    for s in flat:
        offsets.append(at)
        at += len(s) * width
    index += struct.pack(f"<{len(flat)}q", *offsets)
    borders = [0]
    for doc in documents:
        borders.append(borders[-1] + len(doc))
    return binary, index + struct.pack(f"<{len(borders)}q", *borders)


def expected(handler, records, tok, eod, prompt):
    """{name of an output: (bin, idx)}, and the records' samples."""
    out = Out(tok, eod, prompt)
    made = [getattr(out, handler)(r) for r in records]
    made = [m for m in made if m]
    if handler in TEXT:
        return {"text": pair(made, 2 if tok.vocab < 65500 else 4)}, made
    return {name: pair([[s[k] for s in m] for m in made], 4) for k, name in enumerate(SAMPLES)}, made


# inputs -----------------------------------------------------------------------
def made_up():
    """50 records with the keys of every handler and what is difficult in them."""
    rng = random.Random(11)
    words = ["the", "a", "Once", "upon", "time", "déjà", "你好", "世界", "🙂", "### Input:", "x=1", "  two", "tab\there", "\u3000", "line\nbreak", "...", "I'm",
             "naïve", "Ünï", "\u00a0", "end\n", "\n\n", "100%", "{}", "Response:", "in", "python"]

    def text(n=6):
        return " ".join(rng.choice(words) for _ in range(rng.randint(0, n)))

    records = []
    for i in range(50):
        turns = rng.randint(1, 4)
        asked, said = [text() for _ in range(turns)], [text() for _ in range(turns)]
        if i == 7:
            said[-1] = "before\n### Response:\nbehind"  # the last mark is in the answer
        belle = "".join(f"Human:{rng.choice(['', ' '])}{q}\nAssistant:{a}\n" for q, a in zip(asked, said[:-1] + [""]))
        if i % 9 == 3:
            belle = "Human: " + text() + "\n" + belle  # a question without an answer counts as one
        chat = {f"turn_{k + 1}": {"Human": f"<|Human|>: {q}<eoh>\n", "Inner Thoughts": "None", "MOSS": f"<|MOSS|>: {a}<eom>\n"}
                for k, (q, a) in enumerate(zip(asked, said))}
        if i % 11 == 5:
            chat["turn_9"] = None
        talk = [t for q, a in zip(asked, said) for t in ({"from": "human", "value": q}, {"from": "gpt", "value": a})]
        if i % 4 == 1:
            talk.insert(0, {"from": "system", "value": text() or "Be brief."})
        if i % 6 == 2:
            talk += [{"from": "human", "value": "and?"}]
        if i % 8 == 4:
            talk[-1:-1] = [{"from": "function_call", "value": "{\"name\": \"add\"}"}, {"from": "observation", "value": "3"}]
        role = {"human": "user", "gpt": "assistant", "system": "system", "function_call": "assistant", "observation": "tool"}
        records.append({
            "text": text(12) or "x", "instruction": text() or "Go.", "input": text() if i % 3 else "", "output": said[-1], "belle": belle, "chat": chat,
            "title": text(3), "question_body": text(), "answer_body": text(),
            "code_with_problem": text() + ("\n```python\n" + text() + "\n```\n" if i % 5 else ""), "code_only": text(), "explanation_only": text(),
            "history": [[q, a] for q, a in zip(asked[:-1], said[:-1])] if i % 2 else None, "system": text() if i % 10 == 6 else "",
            "conversations": talk, "messages": [{"role": role[t["from"]], "content": t["value"]} for t in talk]})
    return records


def load(path):
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]


def seeds(path):
    return [{"instruction": r["instruction"], "input": i["input"], "output": i["output"]} for r in load(path) for i in r["instances"]]


def belle(path):
    """Three questions of the evaluation set make a conversation in BELLE's form."""
    rows, out = load(path), []
    for i in range(0, len(rows) - 2, 3):
        a, b, c = rows[i:i + 3]
        out.append({"instruction": f"Human:{a['question']}\nAssistant:{a['std_answer']}\nHuman:{b['question']}\nAssistant:{b['std_answer']}\n"
                                   f"Human:{c['question']}\nAssistant:", "input": "", "output": c["std_answer"]})
    return out


def leetcode(path):
    return [{"code_with_problem": r["instruction"] + "```python\n" + r["output"] + "```", "code_only": r["output"],
             "explanation_only": r["input"]} for r in load(path)]


def moss(folder):
    return [json.loads(Path(folder, name).read_text(encoding="utf-8")) for name in sorted(os.listdir(folder))]


def openai(path):
    role = {"human": "user", "gpt": "assistant"}
    return [{"messages": [{"role": role[t["from"]], "content": t["value"]} for t in r["conversations"]]} for r in load(path)]


def shared_inputs(shared):
    d = Path(shared, "datasets")
    return [("alpaca_5000", load(d / "alpaca/alpaca_5000.json"), ["GeneralInstructionHandler", "AlpacaPretrainHandler", "alpaca"]),
            ("alpaca_zh_demo", load(d / "alpaca/alpaca_zh_demo.json"), ["GeneralInstructionHandler", "AlpacaPretrainHandler", "alpaca"]),
            ("seed_tasks", seeds(d / "alpaca/seed_tasks.jsonl"), ["GeneralInstructionHandler"]),
            ("zh_seed_tasks", seeds(d / "belle/zh_seed_tasks.json"), ["GeneralInstructionHandler"]),
            ("belle", belle(d / "belle/eval_set.json"), ["BelleMultiTurnInstructionHandler"]),
            ("moss", moss(d / "moss"), ["MOSSInstructionHandler", "MOSSMultiTurnHandler"]),
            ("leetcode", leetcode(d / "leetcode/leetcode_alpaca_first250.json"), ["LeetcodePythonInstructionHandler"]),
            ("leetcode_alpaca", load(d / "leetcode/leetcode_alpaca_first250.json"), ["GeneralInstructionHandler"]),
            ("dummy_conversation", load(d / "multiturn/dummy_conversation.json"), ["sharegpt"]),
            ("chatalpaca", load(d / "multiturn/chatalpaca_convo_samples.jsonl"), ["sharegpt"]),
            ("chatalpaca_messages", openai(d / "multiturn/chatalpaca_convo_samples.jsonl"), ["openai"])]


HANDLERS = ["GeneralPretrainHandler", "AlpacaPretrainHandler", "StackOverflowPythonPretrainHandler", "GeneralInstructionHandler",
            "BelleMultiTurnInstructionHandler", "MOSSInstructionHandler", "MOSSMultiTurnHandler", "LeetcodePythonInstructionHandler", "alpaca",
            "sharegpt", "openai"]


def cases(tests, shared, limit):
    """(name, handler, records, tokenizer's path below tests or shared, tokenizer, eod, train on prompt)"""
    small = [("tok_tiny.json", Json(Path(tests, "data/tok_tiny.json"), 2)), ("tok_tiny.model", Spm(Path(tests, "data/tok_tiny.model")))]
    records = made_up()
    for name, tok in small:
        for handler in HANDLERS:
            rows = [{**r, "instruction": r["belle"]} for r in records] if handler == "BelleMultiTurnInstructionHandler" else records
            for eod, prompt in ((True, False), (False, False), (True, True)):
                yield "records", handler, rows, "data/" + name, tok, eod, prompt
    large = [("tokenizers/llama", Json(Path(shared, "tokenizers/llama/tokenizer.json"), 2)),
             ("tokenizers/gpt2/tokenizer.json", Json(Path(shared, "tokenizers/gpt2/tokenizer.json"), 50256)),
             ("tokenizers/internlm/tokenizer.model", Spm(Path(shared, "tokenizers/internlm/tokenizer.model")))]
    for name, rows, handlers in shared_inputs(shared):
        for handler in handlers:
            for path, tok in large:
                yield name, handler, rows[:limit], path, tok, True, False


def goldens(tests, shared):
    folder = Path(tests, "golden/instruction")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(r, ensure_ascii=False) for r in made_up()]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = []
    for name, handler, rows, path, tok, eod, prompt in cases(tests, shared, 50):
        files, made = expected(handler, rows, tok, eod, prompt)
        first = made[0][0]
        first = [first[:24]] if handler in TEXT else [first[0][-24:], first[2][-24:]]
        out.append({"input": name, "handler": handler, "tokenizer": path, "eod": eod, "prompt": prompt, "records": len(rows),
                    "sequences": sum(len(m) for m in made), "crc": [zlib.crc32(b) for f in files.values() for b in f], "first": first})
    (folder / "goldens.json").write_text("[\n" + ",\n".join(json.dumps(g) for g in out) + "\n]\n")
    print(len(out), "goldens,", (folder / "goldens.json").stat().st_size, "bytes")


def compare(cspeed, tests, shared):
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        for name, handler, rows, path, tok, eod, prompt in cases(tests, shared, None):
            where = Path(tests if path.startswith("data/") else shared, path)
            source, prefix = Path(work, "in.jsonl"), Path(work, "p")
            source.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n", encoding="utf-8")
            files, made = expected(handler, rows, tok, eod, prompt)
            line = [cspeed, "preprocess", "--quiet", "--input", source, "--output-prefix", prefix, "--tokenizer-name-or-path", where, "--handler-name",
                    handler, "--workers", "2"] + ["--append-eod"] * eod + ["--train-on-prompt"] * (prompt and handler not in TEXT)
            subprocess.run(line, check=True)
            wrong = [f"{key}.{ext}" for key, both in files.items() for ext, want in zip(("bin", "idx"), both)
                     if Path(f"{prefix}_{key}_document.{ext}").read_bytes() != want]
            tokens = sum(len(s) if handler in TEXT else len(s[0]) for m in made for s in m)
            print(f"{name:20} {handler:36} {path:36} eod {eod:d} prompt {prompt:d}: {len(rows)} records, {sum(map(len, made))} sequences, {tokens} tokens:",
                  "equal" if not wrong else "DIFFERENT " + " ".join(wrong), flush=True)
            bad += bool(wrong)
            for f in Path(work).glob("p_*"):
                f.unlink()
    print(bad, "cases differ")
    return bad > 0


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "goldens":
        goldens(sys.argv[2], sys.argv[3])
    elif len(sys.argv) == 5 and sys.argv[1] == "compare":
        sys.exit(compare(sys.argv[2], sys.argv[3], sys.argv[4]))
    else:
        sys.exit(__doc__)
