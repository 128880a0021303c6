"""The command line: `ratchet VERB …` = `python -m pipeline VERB …`."""

import atexit
import gc
import importlib
import os
import signal  # what takes longer is imported when signals are heeded
import sys

# In the order of the flow. A verb's module is imported when it is called, so that --help stays instant.
VERBS = {
    "init": "look at a person's own data and write params.yaml for it",
    "compose": "settle the settings: conf/ + params.yaml → params.lock.yaml",
    "download": "fetch the raw data from its mirrors, verified by SHA-256 → data/raw",
    "preprocess": "check, split and encode → data/processed",
    "train": "train with Lightning, journalled and resumable → models/bundle",
    "sweep": "search settings with Hydra and Optuna: any launcher, killed and gone on with",
    "adopt": "write the settings of a sweep's best trial, or of any run, into params.yaml",
    "runs": "list the newest runs: status, time, best value",
    "compare": "set runs side by side: the settings that differ, the metrics with the best marked",
    "evaluate": "score the bundle on the test split → reports/",
    "register": "make the bundle a version in MLflow's registry, alias challenger",
    "promote": "let the gate decide whether the challenger becomes champion",
    "history": "show every decision about the champion, and who was champion at a time",
    "rollback": "go back to the champion before, or to any that was champion",
    "lineage": "say which commit, data, settings and run made a version",
    "reproduce": "make a version again from its commit and data, and compare",
    "predict": "score a file with the champion, or with a bundle",
    "serve": "answer over HTTP with the champion, and keep what was said to be right",
    "feedback": "show how the champion does in use, and retrain on the labels that came",
    "export": "write the champion as an ONNX file",
    "sync": "ship journals that wait to the MLflow server",
    "doctor": "say what is here, what is wrong, and what to type",
    "ui": "open MLflow's UI on what was made",
}
SHOW = ("runs", "compare", "history", "lineage", "doctor")  # what they print is all that they do
WAIT = ("serve", "ui", "feedback")  # they may have no end but the terminal's; other work outlives that, as with nohup


def usage() -> str:
    verbs = "\n".join(f"  {verb:<11} {line}" for verb, line in VERBS.items())
    return (
        f"usage: ratchet VERB [options] [setting=value …]\n\nverbs, in the order of the flow:\n{verbs}\n\n"
        "`ratchet VERB --help` tells more. The stages run in order with: dvc repro"
    )


def fail(verb: str, message: str) -> int:
    from pipeline.project.secrets import redact

    print(f"ratchet {verb}: error: {redact(message)}", file=sys.stderr)
    return 1


def collect_rarely() -> None:
    """torch and MLflow make a million objects that stay; the garbage collector takes a third of a short verb's time.

    It walks through them again for every 700 new ones, and once more at the interpreter's end.
    """
    gc.set_threshold(200_000, 20, 20)
    atexit.register(gc.freeze)


def exit_now(signum: int, frame: object) -> None:
    """Not an exception: the libraries that are being imported would swallow it, or show it."""
    os._exit(128 + signum)


def heed_signals() -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) != signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
            signal.signal(signum, exit_now)


def run(arguments: list[str]) -> int:
    """The verb in a process of its own: signals end it with 130 or 143, and where it prints to may go away."""
    heed_signals()
    from pipeline.project import output

    output.restart_in_utf8()
    output.survive()
    collect_rarely()
    verb = arguments[0] if arguments else "help"
    if verb not in WAIT and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code = main(arguments)
    why = output.lost()
    heed_signals()
    return fail(verb, f"not all could be shown: {why}") if code == 0 and why and verb in SHOW else code


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb in the project's root; returns its exit code."""
    if arguments is None:
        return run(sys.argv[1:])
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    verb, *rest = arguments
    if verb == "train" and {"-m", "--multirun"} & set(rest):
        verb, rest = "sweep", [argument for argument in rest if argument not in ("-m", "--multirun")]
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f" Did you mean `ratchet {near[0]}`?" if near else ""
        print(f"ratchet: no verb {verb!r}; the verbs are {', '.join(VERBS)}.{hint}", file=sys.stderr)
        return 2

    from pathlib import Path

    from pipeline.project import deferred, paths
    from pipeline.project.errors import RatchetError

    deferred.defer()
    module = importlib.import_module(f"pipeline.{verb}")
    if signal.getsignal(signal.SIGINT) is exit_now:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a verb may have something to tidy up
    try:
        if not {"-h", "--help"} & set(rest):
            paths.start = Path.cwd()
            os.chdir(paths.root())
        return module.main(rest) or 0
    except RatchetError as error:
        return fail(verb, str(error))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
