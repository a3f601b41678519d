"""The jobs that the jobhost's tests run: what honest and hostile ones do."""

# ruff: noqa: T201, PTH110, PTH123, S110, BLE001, PTH101  a user's code, as users write it

import os
import signal
import subprocess
import sys
import threading
import time

import cicd_sdk as ci

print("imported")
pipeline = ci.Pipeline("web")
who = pipeline.param("who", default="world")


@pipeline.job
def first(ctx):
    return {"version": "1.2"}


@pipeline.job(needs=[first])
def hello(ctx):
    print("hello", ctx.params["who"], ctx.needs["first"]["version"])
    print("on stderr", file=sys.stderr)
    ctx.log("logged")
    with ctx.group("commands"):
        ctx.run("sh", "-c", "cat README; pwd; echo $HOME $TMPDIR; touch made")
    return {"greeting": "hi", "number": 3}


@pipeline.job
def lines(ctx):
    for number in range(5000):
        print("out", number)
        print("err", number, file=sys.stderr)


@pipeline.job
def boom(ctx):
    raise ValueError("the reason")


@pipeline.job
def command_fails(ctx):
    ctx.run("sh", "-c", "exit 7")


@pipeline.job
def leaves(ctx):
    print("last words", flush=True)
    os._exit(7)


@pipeline.job
def crashes(ctx):
    os.kill(os.getpid(), signal.SIGSEGV)


@pipeline.job
def killed(ctx):
    os.kill(os.getpid(), signal.SIGKILL)


@pipeline.job
def waits(ctx):
    print("waiting", flush=True)
    threading.Event().wait()


@pipeline.job
def ticks(ctx):
    stop = ctx.params["who"]
    number = 0
    while not os.path.exists(stop):
        print("tick", number, flush=True)
        number += 1
        time.sleep(0.02)
    print("ticks", number)


@pipeline.job
def stubborn(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = (
        "import os,signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setsid(); os.fork(); time.sleep(600)"
    )
    for _ in range(3):
        subprocess.Popen([sys.executable, "-S", "-c", child], stdout=subprocess.DEVNULL)
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        print("grandchild", flush=True)
        while True:
            time.sleep(600)
    os.wait()
    print("dug in", flush=True)
    while True:
        try:
            while True:
                time.sleep(600)
        except BaseException:
            pass


@pipeline.job
def chatty(ctx):
    return {"much": "x" * 20000}


@pipeline.job
def fills(ctx):
    print("writing", flush=True)
    with open("large", "wb") as file:
        for _ in range(int(ctx.params["who"])):
            file.write(b"x" * (1 << 20))
            file.flush()
    print("written", flush=True)
    threading.Event().wait()


@pipeline.job
def prints(ctx):
    with open("large", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    for _ in range(1000):
        print("y" * 4095, flush=True)
        time.sleep(0.001)


@pipeline.job
def env(ctx):
    for name in sorted(os.environ):
        print(name + "=" + os.environ[name])
    os.chmod(".", 0o500)


@pipeline.job(secrets=["TOKEN"])
def leaky(ctx):
    import base64

    ctx.mask("told later\nin two lines")
    for value in ("told later", ctx.secrets["TOKEN"], ctx.params["who"]):
        raw = value.encode()
        print(value, raw.hex(), base64.b64encode(b"user:" + raw).decode(), flush=True)
        for byte in raw:  # one by one, across all pieces
            os.write(1, bytes([byte]))
        print(flush=True)
    ctx.log("logged " + ctx.secrets["TOKEN"])
    ctx.mask("abc")
    ctx.output("token", ctx.secrets["TOKEN"])
    if ctx.params["who"].startswith("fail"):
        room = "y" * 1979 if ctx.params["who"] == "fails at length" else ""  # so that the limit of messages cuts it
        raise ValueError("no " + room + ctx.secrets["TOKEN"])


@pipeline.job
def floods(ctx):
    for number in range(20000):
        print("line", number)
    return {"done": True}
