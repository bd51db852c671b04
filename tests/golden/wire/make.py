#!/usr/bin/env python3
"""Writes the golden vectors of src/wire into this directory (README.md says how to read them).

Standard library only, and nothing shared with the C: checksums, frames and messages are made here from
docs/protocol.md alone. Everything is fixed, so a second run writes the same files.
"""

import hashlib
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
PREFACE = b"ROGER/1\n"
ACCEPT_GAP, NEXT, EPHEMERAL = 1, 2, 4
PREFACE_FAULT, HELLO_FAULT, CHECKSUM, TOO_BIG, GAP, FENCED, BUSY, BYE_FAULT, SEQ, DEADLINE = range(1, 11)
BYE = 0xFFFFFFFF
SEQ_MAX = 2**63 - 1
STREAM = bytes([0x80]) + bytes(range(1, 16))
NAMED = bytearray(hashlib.sha256(b"roger stream orders").digest()[:16])
NAMED[0] |= 0x80
NAMED = bytes(NAMED)
WRITER = 0x1122334455667788


def crc32c(data, crc=0):
    """Bit by bit, as far from the C as can be."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def hello(flags=EPHEMERAL, stream=STREAM, writer=WRITER, first=1):
    body = PREFACE + struct.pack("<I16sQQ", flags, stream, writer, first)
    return body + struct.pack("<I", crc32c(body))


def checksum(stream, seq, size, payload):
    return crc32c(stream + struct.pack("<QI", seq, size) + payload)


def frame(seq, payload, stream=STREAM):
    return struct.pack("<II", len(payload), checksum(stream, seq, len(payload), payload)) + payload


def bye(seq, stream=STREAM):
    return struct.pack("<II", BYE, checksum(stream, seq, BYE, b""))


def history(frames, h=0):
    for f in frames:
        h = crc32c(f[4:8], h)
    return h


def message(kind, body=b""):
    head = struct.pack("<II", kind, len(body))
    return head + struct.pack("<I", crc32c(head + body)) + body


JOURNAL_ID = bytes(range(0xA0, 0xB0))


def welcome(flags=0, message_max=1 << 20, last=0, record=0, writer=0, h=0):
    return message(1, struct.pack("<II16sQQQI", flags, message_max, JOURNAL_ID, last, record, writer, h))


def ack(seq, record):
    return message(2, struct.pack("<QQ", seq, record))


def error(code, seq, text):
    return message(3, struct.pack("<IQ", code, seq) + text.encode())


def wait():
    return message(4)


def drain(ms):
    return message(5, struct.pack("<I", ms))


class Vector:
    def __init__(self, name, why, protocol, message_max=1 << 20):
        self.name = name
        self.lines = ["# Made by make.py. " + why, f"protocol {protocol}", f"message-max {message_max}"]

    def add(self, *lines):
        self.lines += lines
        return self

    def input(self, *pieces):
        for data in pieces:
            for at in range(0, len(data), 32):
                self.lines.append("input " + data[at:at + 32].hex(" "))
        return self

    def ended(self):
        return self.add("ended")

    def expect(self, *lines):
        self.lines += ["expect " + line for line in lines]
        return self

    def write(self):
        with open(os.path.join(HERE, self.name + ".txt"), "w", encoding="ascii") as out:
            out.write("\n".join(self.lines) + "\n")


def hello_line(flags=EPHEMERAL, stream=STREAM, writer=WRITER, first=1):
    return f"hello {flags} {stream.hex()} {writer:016x} {first}"


def frame_line(seq, payload):
    return f"frame {seq} {payload.hex()}".rstrip()


def native(name, why, flags=EPHEMERAL, stream=STREAM, first=1, next_seq=1, h=0, message_max=1 << 20):
    """A connection up to WELCOME; the frames are the caller's."""
    v = Vector("native-" + name, why, "roger", message_max)
    v.add(f"welcome {next_seq} {h:08x}")
    v.input(hello(flags, stream, WRITER, first))
    return v.expect(hello_line(flags, stream, WRITER, first))


def make_native():
    payloads = [b"Hello World!", b"", bytes(range(256)), b"x"]
    frames = [frame(i + 1, p) for i, p in enumerate(payloads)]
    lines = [frame_line(i + 1, p) for i, p in enumerate(payloads)]
    all_h = f"history {history(frames):08x}"

    native("messages", "Four messages, an empty one among them, BYE, half-close.").input(*frames, bye(5)).ended() \
        .expect(*lines, all_h, "bye", "end 0").write()
    native("idle", "Messages, and the connection stays open.").input(*frames).expect(*lines, all_h, "more 8").write()
    native("nothing", "HELLO and the half-close.").ended().expect("end 0").write()
    native("after-hello", "HELLO, then silence.").expect("more 8").write()

    later = [frame(1000, b"a", NAMED), frame(1001, b"bc", NAMED)]
    native("resumed", "A named stream that goes on at 1000, behind a history checksum.", ACCEPT_GAP, NAMED, 990, 1000,
           0xCAFEF00D).input(*later).ended() \
        .expect(frame_line(1000, b"a"), frame_line(1001, b"bc"), f"history {history(later, 0xCAFEF00D):08x}", "end 0") \
        .write()
    native("next", "Flags may be combined: ACCEPT_GAP and NEXT.", ACCEPT_GAP | NEXT, NAMED, 1, 1001) \
        .input(later[1]).ended().expect(frame_line(1001, b"bc"), f"history {history(later[1:]):08x}", "end 0").write()

    native("half-a-frame", "A half-close in the middle of a frame: the whole ones count, the rest is dropped.") \
        .input(frames[0], frames[2][:-1]).ended() \
        .expect(lines[0], f"history {history(frames[:1]):08x}", f"end {len(frames[2]) - 1}").write()
    native("half-a-header", "A half-close in the middle of a frame's header.").input(frames[0][:7]).ended() \
        .expect("end 7").write()
    native("partial", "An unfinished frame: how much it needs.").input(frames[0][:9]).expect("more 20").write()

    native("repeat", "The same message twice: numbers are implied, so its checksum does not fit.") \
        .input(frames[0], frames[0]) \
        .expect(lines[0], f"history {history(frames[:1]):08x}", f"refused {CHECKSUM} 2").write()
    native("gap", "Message 2 is left out.").input(frames[0], frames[2]) \
        .expect(lines[0], f"history {history(frames[:1]):08x}", f"refused {CHECKSUM} 2").write()
    native("other-stream", "A frame of another stream.").input(frame(1, b"x", NAMED)).expect(f"refused {CHECKSUM} 1").write()
    flipped = bytearray(frames[2])
    flipped[100] ^= 0x10
    native("flipped-payload", "One bit of a payload is wrong.").input(*frames[:2], bytes(flipped), frames[3]) \
        .expect(*lines[:2], f"history {history(frames[:2]):08x}", f"refused {CHECKSUM} 3").write()
    flipped = bytearray(frames[0])
    flipped[5] ^= 1
    native("flipped-checksum", "One bit of a checksum is wrong.").input(bytes(flipped)).expect(f"refused {CHECKSUM} 1").write()
    flipped = bytearray(frames[0])
    flipped[0] -= 1
    native("flipped-size", "One byte less in the size field.").input(bytes(flipped)).expect(f"refused {CHECKSUM} 1").write()

    native("largest", "A message of exactly max-message.", message_max=256).input(frame(1, payloads[2])) \
        .expect(frame_line(1, payloads[2]), f"history {history([frame(1, payloads[2])]):08x}", "more 8").write()
    native("too-big", "One byte above max-message; refused from the header alone.", message_max=255) \
        .input(frame(1, b"x"), frame(2, payloads[2])[:8]) \
        .expect(frame_line(1, b"x"), f"history {history([frame(1, b'x')]):08x}", f"refused {TOO_BIG} 2").write()
    native("enormous", "A size just below BYE's: refused, nothing is reserved.") \
        .input(struct.pack("<II", BYE - 1, 0)).expect(f"refused {TOO_BIG} 1").write()

    native("bye-at-once", "An ephemeral stream that ends without a message.").input(bye(1)).expect("bye", "more 1").write()
    native("bye-named", "BYE on a named stream.", 0, NAMED).input(bye(1, NAMED)).expect(f"refused {BYE_FAULT} 1").write()
    native("bye-wrong", "BYE with the wrong number under its checksum.").input(bye(2)).expect(f"refused {CHECKSUM} 1").write()
    native("bye-and-more", "Something after BYE.").input(frames[0], bye(2), b"\0") \
        .expect(lines[0], f"history {history(frames[:1]):08x}", "bye", f"refused {BYE_FAULT} 2").write()

    last = frame(SEQ_MAX, b"last")
    native("last-number", "The highest sequence number, and one more.", next_seq=SEQ_MAX) \
        .input(last, frame(SEQ_MAX + 1, b"")) \
        .expect(frame_line(SEQ_MAX, b"last"), f"history {history([last]):08x}", f"refused {SEQ} {SEQ_MAX + 1}").write()
    native("last-number-bye", "BYE behind the highest sequence number.", next_seq=SEQ_MAX) \
        .input(last, bye(SEQ_MAX + 1)) \
        .expect(frame_line(SEQ_MAX, b"last"), f"history {history([last]):08x}", "bye", "more 1").write()


def make_hello():
    def one(name, why, data, *expect, ended=False):
        v = Vector("hello-" + name, why, "roger").add("welcome 1 00000000").input(data)
        if ended:
            v.ended()
        v.expect(*expect).write()

    refused = f"refused {HELLO_FAULT} 0"
    for flags in range(8):
        one(f"flags-{flags}", "All known flags.", hello(flags), hello_line(flags), "more 8")
    one("unknown-flag", "A flag that this version does not know.", hello(8), refused)
    one("unknown-high-flag", "The highest flag.", hello(1 << 31), refused)
    one("zero-stream", "Stream id 0.", hello(stream=bytes(16)), refused)
    one("plain-stream", "The id of a plain connection.", hello(stream=bytes(8) + struct.pack("<Q", 7)), refused)
    one("nearly-plain-stream", "Only seven zero bytes in front.", hello(stream=bytes(7) + b"\1" + bytes(8)),
        hello_line(stream=bytes(7) + b"\1" + bytes(8)), "more 8")
    one("first-0", "Numbers begin at 1.", hello(first=0), refused)
    one("first-highest", "The highest number.", hello(first=SEQ_MAX), hello_line(first=SEQ_MAX), "more 8")
    one("first-too-high", "Beyond the highest number.", hello(first=SEQ_MAX + 1), refused)
    broken = bytearray(hello())
    broken[20] ^= 1
    one("checksum", "One bit of HELLO is wrong.", bytes(broken), f"refused {PREFACE_FAULT} 0")
    one("version-2", "A preface of another version: refused at its seventh byte.", b"ROGER/2\n", f"refused {PREFACE_FAULT} 0")
    one("foreign", "Not the preface: refused at its first byte.", b"GET / HTTP/1.1\r\n", f"refused {PREFACE_FAULT} 0")
    one("nothing", "A connection that says nothing and ends.", b"", "end 0", ended=True)
    one("half", "A half-close in the middle of HELLO.", hello()[:47], "end 47", ended=True)
    one("short", "The preface alone waits for the rest.", PREFACE, "more 48")


def make_plain():
    text = b"Hello World!"
    Vector("raw-hello", "The classic exchange, with a half-close.", "raw").input(text).ended() \
        .expect("message " + text.hex(), "end 0").write()
    Vector("raw-drained", "Nothing more is readable: that is the message.", "raw").input(text).add("drained") \
        .expect("message " + text.hex(), "more 1").write()
    Vector("raw-waiting", "More is readable: wait for it.", "raw").input(text).expect("more 13").write()
    Vector("raw-nothing", "A connection that says nothing.", "raw").ended().expect("end 0").write()
    Vector("raw-split", "Pieces of at most max-message.", "raw", 5).input(text).ended() \
        .expect("message " + text.hex(), "end 0").write()
    Vector("raw-full", "max-message bytes are a message though more is readable.", "raw", 5).input(text) \
        .expect("message " + text[:10].hex(), "more 3").write()
    Vector("raw-preface", "On a raw listener the preface is bytes like others.", "raw").input(hello()).ended() \
        .expect("message " + hello().hex(), "end 0").write()

    Vector("whole-file", "Everything up to the half-close.", "whole").input(text, b"\n", bytes(range(256))).ended() \
        .expect("message " + (text + b"\n" + bytes(range(256))).hex(), "end 0").write()
    Vector("whole-waiting", "Nothing before the half-close.", "whole").input(text).add("drained").expect("more 13").write()
    Vector("whole-nothing", "No bytes, no message.", "whole").ended().expect("end 0").write()
    Vector("whole-largest", "Exactly max-message.", "whole", 12).input(text).ended() \
        .expect("message " + text.hex(), "end 0").write()
    Vector("whole-too-big", "One byte more.", "whole", 11).input(text).expect(f"refused {TOO_BIG} 0").write()

    def line(name, why, data, *expect, ended=True, limit=1 << 20):
        v = Vector("line-" + name, why, "line", limit).input(data)
        if ended:
            v.ended()
        v.expect(*expect).write()

    line("two", "Two lines.", b"a\nb\n", "message 61", "message 62", "end 0")
    line("crlf", "CR LF; a CR elsewhere stays, and only one goes.", b"a\r\nb\rc\r\r\n\r\n", "message 61", "message 620d630d",
         "message", "end 0")
    line("empty", "Empty lines are empty messages.", b"\n\nx\n", "message", "message", "message 78", "end 0")
    line("unfinished", "What stands behind the last LF counts at a half-close.", b"a\nbc", "message 61", "message 6263", "end 0")
    line("unfinished-cr", "A CR without LF is a byte like others.", b"a\r", "message 610d", "end 0")
    line("waiting", "An unfinished line waits.", b"a\nbc", "message 61", "more 3", ended=False)
    line("nothing", "No bytes, no message.", b"", "end 0")
    line("zero-bytes", "Any byte but LF may stand in a line.", b"\0\xff\r\0\n", "message 00ff0d00", "end 0")
    line("largest", "Exactly max-message, with LF, with CR LF and with nothing.", b"abcde\nabcde\r\nabcde",
         "message 6162636465", "message 6162636465", "message 6162636465", "end 0", limit=5)
    line("too-long", "One byte more, as soon as it is there.", b"ab\nabcdef", "message 6162", f"refused {TOO_BIG} 0",
         ended=False, limit=5)
    line("too-long-lf", "One byte more, with the LF in sight.", b"ab\nabcdef\nab\n", "message 6162", f"refused {TOO_BIG} 0",
         ended=False, limit=5)
    line("too-long-crlf", "The same with CR LF.", b"abcdef\r\n", f"refused {TOO_BIG} 0", ended=False, limit=5)
    line("too-long-then-cr", "A CR that comes one byte too late.", b"abcdef\r", f"refused {TOO_BIG} 0", ended=False, limit=5)
    line("too-long-cr", "A CR behind max-message bytes is no LF's.", b"abcde\rx\n", f"refused {TOO_BIG} 0", ended=False, limit=5)
    line("cr-may-be-half", "A CR behind max-message bytes may be half of CR LF.", b"abcde\r", "more 7", ended=False, limit=5)
    line("cr-at-end", "And when nothing follows it, it was one byte too many.", b"abcde\r", f"refused {TOO_BIG} 0", limit=5)


def make_answers():
    """What a server sends, as a client must read it."""
    class Answers(Vector):
        def __init__(self, name, why):
            super().__init__("answers-" + name, why, "roger")
            self.lines = self.lines[:1]

    w = dict(flags=1, message_max=4096, last=77, record=88, writer=WRITER, h=0xDEADBEEF)
    w_line = f"welcome 1 4096 {JOURNAL_ID.hex()} 77 88 {WRITER:016x} deadbeef"
    text = "a frame's checksum does not fit"

    Answers("all", "Every kind of message.") \
        .input(PREFACE, welcome(**w), wait(), ack(78, 91), ack(SEQ_MAX, 2**64 - 1), error(CHECKSUM, 79, text), drain(1500)) \
        .expect(w_line, "wait", "ack 78 91", f"ack {SEQ_MAX} {2**64 - 1}", f"error {CHECKSUM} 79 {text.encode().hex()}",
                "drain 1500", "more").write()
    for name, first, line in [("error", error(BUSY, 0, "no room at the moment"), f"error {BUSY} 0 " + b"no room at the moment".hex()),
                              ("wait", wait(), "wait"), ("drain", drain(0), "drain 0"), ("ack", ack(1, 1), "ack 1 1")]:
        Answers(name + "-first", "The preface goes before whatever comes first.").input(PREFACE, first).expect(line, "more").write()
    Answers("unknown-code", "A code of a newer server, with a text of the greatest size.") \
        .add("decode-only").input(PREFACE, error(99, 5, "t" * 200)).expect("error 99 5 " + b"t".hex() * 200, "more").write()
    Answers("text-too-long", "One byte more: broken before it is read.").input(PREFACE, error(99, 5, "t" * 201)[:12]) \
        .expect("broken").write()
    Answers("plain-server", "A plain server's answer: foreign at its first byte.").input(b"ACK!").expect("foreign").write()
    Answers("http", "Another one.").input(b"HTTP/1.1 400 Bad Request\r\n").expect("foreign").write()
    Answers("nearly", "The last byte of the preface is wrong.").input(b"ROGER/1\r").expect("foreign").write()
    Answers("preface-twice", "The preface comes once.").input(PREFACE, wait(), PREFACE, wait()).expect("wait", "broken").write()
    Answers("unknown-kind", "A kind that this version does not know.").input(PREFACE, message(6)).expect("broken").write()
    Answers("kind-0", "Kind 0.").input(PREFACE, message(0)).expect("broken").write()
    for name, data in [("welcome", message(1, bytes(51))), ("welcome-long", message(1, bytes(53))), ("ack", message(2, bytes(15))),
                       ("wait", message(4, b"x")), ("drain", message(5, bytes(3))), ("error", message(3, bytes(11)))]:
        Answers("size-" + name, "A size that its kind does not have.").input(PREFACE, data[:12]).expect("broken").write()
    broken = bytearray(ack(78, 91))
    broken[20] ^= 0x40
    Answers("checksum", "One bit of an ACK is wrong.").input(PREFACE, wait(), bytes(broken)).expect("wait", "broken").write()
    Answers("unknown-flag", "WELCOME with a flag that this version does not know.").input(PREFACE, welcome(flags=2)) \
        .expect("broken").write()
    Answers("last-too-high", "WELCOME with a number beyond the highest.").input(PREFACE, welcome(last=SEQ_MAX + 1)) \
        .expect("broken").write()
    Answers("message-max-0", "WELCOME that takes no message at all.").input(PREFACE, welcome(message_max=0)) \
        .expect("broken").write()
    Answers("ack-too-high", "ACK of a number beyond the highest.").input(PREFACE, ack(SEQ_MAX + 1, 1)).expect("broken").write()


def make_session():
    """The worked example of docs/protocol.md: each input line stands there too, which a test checks."""
    payloads = [b"Hello World!", b""]
    frames = [frame(i + 1, p) for i, p in enumerate(payloads)]
    v = Vector("session-client", "The example of docs/protocol.md, from client to server.", "roger")
    v.add("documented", "welcome 1 00000000")
    h = hello()
    for at, size in [(0, 8), (8, 4), (12, 16), (28, 8), (36, 8), (44, 4)]:
        v.input(h[at:at + size])
    for f in frames:
        v.input(f[:4], f[4:8])
        if len(f) > 8:
            v.input(f[8:])
    v.input(bye(3)[:4], bye(3)[4:]).ended()
    v.expect(hello_line(), *[frame_line(i + 1, p) for i, p in enumerate(payloads)], f"history {history(frames):08x}",
             "bye", "end 0").write()

    v = Vector("session-server", "The example of docs/protocol.md, from server to client.", "roger")
    v.lines = v.lines[:1] + ["documented"]
    w = welcome()
    v.input(PREFACE)
    for at, size in [(0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 16), (36, 8), (44, 8), (52, 8), (60, 4)]:
        v.input(w[at:at + size])
    a = ack(2, 42)
    for at, size in [(0, 4), (4, 4), (8, 4), (12, 8), (20, 8)]:
        v.input(a[at:at + size])
    v.expect(f"welcome 0 1048576 {JOURNAL_ID.hex()} 0 0 0000000000000000 00000000", "ack 2 42", "more").write()


def main():
    assert crc32c(b"123456789") == 0xE3069283
    for name in os.listdir(HERE):
        if name.endswith(".txt"):
            os.unlink(os.path.join(HERE, name))
    make_native()
    make_hello()
    make_plain()
    make_answers()
    make_session()


if __name__ == "__main__":
    main()
