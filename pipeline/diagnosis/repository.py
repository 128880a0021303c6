"""Git: whether there is a repository that answers, and what mends one that does not.

No cure writes over anything of the user's: what is damaged is moved aside, and .dvc, which holds the settings, the
remotes and the cache, is never made anew where it is.
"""

import getpass
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.diagnosis.finding import Finding, Look, note, ok, problem
from pipeline.project import paths
from pipeline.project.files import free, quoted
from pipeline.tracking.revision import GitError, NoAnswer, NoGit, ask_git, git, in_short

HEAD = re.compile(r"ref: refs/\S+|[0-9a-f]{40}|[0-9a-f]{64}")
TRUSTED = re.compile(r"git config --global --add safe\.directory .+")
ASIDE = "git.damaged"  # in .ratchet, which git ignores


def repository(look: Look) -> Iterator[Finding]:
    try:
        ask_git("rev-parse", "--is-inside-work-tree")
        head = ask_git("rev-parse", "--short", "--verify", "HEAD")
        # `git status` would else write its index anew
        changed = ask_git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    except GitError as error:
        yield explained(error)
        if isinstance(error, (NoGit, NoAnswer)):
            return
    else:
        count = len(changed.splitlines())
        yield ok("git", f"commit {head}" + (f", {count} files changed since" if count else ""))
    yield from left_locks()
    yield from dvc()


def explained(error: GitError) -> Finding:
    said = str(error)
    if isinstance(error, NoAnswer):
        typed = "time git status   (until it answers sooner, runs can't say which code made them)"
        return problem("git", said, typed)
    if isinstance(error, NoGit):
        typed = "apt-get install git   (as root; elsewhere: brew install git, or conda install git)"
        return problem("git", f"{said}: no run can say which code made it", typed)
    if trusted := TRUSTED.search(said):  # with the path quoted by git
        return problem("git", "git does not trust this folder, for another user owns it", trusted[0])
    if "GIT_DIR" in os.environ and "not a git repository" in said:
        return problem("git", f"GIT_DIR={os.environ['GIT_DIR']} is no git repository", "unset GIT_DIR GIT_WORK_TREE")
    place = next((one / ".git" for one in (Path.cwd(), *Path.cwd().parents) if os.path.lexists(one / ".git")), None)
    if place is None:
        kept = "or bring back the .git of a clone, with its history: mv CLONE/.git ."
        text = "this is no git repository: no run can say which code made it"
        return problem("git", text, f"git init && {first_commit(anew=True)}   ({kept})")
    return damaged(Path(os.path.relpath(place)), said)


def damaged(place: Path, said: str) -> Finding:
    """`place`: the .git that is there."""
    if (cure := of_head(place) or of_branch(place) or of_parts(place, said)) is not None:
        return problem("git", *cure)
    if in_short(said) == "there is no commit yet":
        return note("git", in_short(said), first_commit())
    text = f"{place} is damaged: {in_short(said)}"
    if place.parent != Path():
        return problem("git", text, f"git -C {quoted(place.parent)} fsck --full")
    aside = free(paths.state(ASIDE))
    moved = f"mkdir -p {quoted(aside.parent)} && mv .git {quoted(aside)}"
    return problem(
        "git", text, f"{moved} && git init && {first_commit(anew=True)}   (keeps what there is of the history there)"
    )


def of_head(place: Path) -> tuple[str, str] | None:
    """HEAD is missing, empty or garbage: the branches, and the log of where it was, tell what it said."""
    file = place / "HEAD"
    if not place.is_dir() or HEAD.fullmatch(read(file).strip()):
        return None
    last = logged(place / "logs" / "HEAD")[-1:]
    branches = sorted(one for one in (place / "logs/refs/heads").rglob("*") if one.is_file())
    at_last = [one for one in branches if logged(one)[-1:] == last and last]
    if not at_last:
        return None
    branch = at_last[0].relative_to(place / "logs")
    text = f"{file} is damaged: git does not know its branch, which was {branch.relative_to('refs/heads')}"
    return text, f"echo {shlex.quote(f'ref: {branch}')} > {quoted(file)}"


def of_branch(place: Path) -> tuple[str, str] | None:
    """The branch names no commit, though its log does: a machine that lost its power leaves such files."""
    name = read(place / "HEAD").strip().removeprefix("ref: ")
    if not name.startswith("refs/") or git("rev-parse", "--verify", f"{name}^{{commit}}") is not None:
        return None
    known = (
        commit
        for commit in reversed(logged(place / "logs" / name))
        if git("cat-file", "-e", f"{commit}^{{tree}}") is not None
    )
    if (commit := next(known, None)) is None:
        return None
    text = f"the branch {name.removeprefix('refs/heads/')} is damaged; the last commit of its log is {commit[:7]}"
    return text, f"rm -f {quoted(place / name)} && git update-ref {shlex.quote(name)} {commit}"


def of_parts(place: Path, said: str) -> tuple[str, str] | None:
    """Folders, settings and index, which git makes anew from what else there is."""
    top = "git" if place.parent == Path() else f"git -C {quoted(place.parent)}"
    if place.is_dir() and not ((place / "refs").is_dir() and (place / "objects").is_dir()):
        return f"a folder of {place} is missing", f"{top} init   (makes what is missing, and alters nothing)"
    config = place / "config"
    if config.is_file() and git("config", "--file", str(config), "--list") is None:
        aside = free(config.with_name("config.damaged"))
        typed = f"mv {quoted(config)} {quoted(aside)} && {top} init   (your remotes stand in {aside})"
        return f"{config} can't be read: {in_short(said)}", typed
    if "index file" in said:
        index = Path(git("rev-parse", "--git-path", "index") or place / "index")
        aside = free(index.with_name("index.damaged"))
        typed = f"mv {quoted(index)} {quoted(aside)} && {top} reset"
        return f"{index} is damaged: {said.splitlines()[-1].removeprefix('fatal: ')}", typed
    return None


def left_locks() -> Iterator[Finding]:
    """What a git that was killed leaves behind: no other can commit. One that is at work removes its own."""
    folder = git("rev-parse", "--git-dir")
    if folder is None or at_work():
        return
    place = Path(os.path.relpath(folder))
    if locks := sorted([*place.glob("*.lock"), *(place / "refs").rglob("*.lock")]):
        text = f"a git command that was killed left {', '.join(map(str, locks))}: git can't commit"
        yield problem("git's lock", text, f"rm {shlex.join(map(str, locks))}")


def at_work() -> bool:
    """Whether a git command runs that may hold a lock here: any whose folder is not known to be another."""
    top = git("rev-parse", "--show-toplevel") or str(Path.cwd())
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "git" and Path(process.cwd()).is_relative_to(top):
                return True
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):  # of another user: not known
            return True
    return False


def dvc() -> Iterator[Finding]:
    if Path(".dvc").is_dir():
        return
    if git("cat-file", "-e", "HEAD:./.dvc/config") is not None:
        typed = "git checkout HEAD -- .dvc"
    elif (prefix := git("rev-parse", "--show-prefix")) is None:
        typed = "dvc init   (when git is mended)"
    else:
        typed = "dvc init --subdir" if prefix else "dvc init"
    yield problem("DVC", "there is no .dvc here: no stage can run", typed)


def first_commit(anew: bool = False) -> str:
    """Git refuses to commit for someone whose name and address it can't tell; a new repository has its own none."""
    commit = 'git add --all && git commit --message "Start"'
    if git(*["-C", "/"] * anew, "var", "GIT_COMMITTER_IDENT") is not None:
        return commit
    name = shlex.quote(getpass.getuser())
    return f"git config user.name {name} && git config user.email {name}@localhost && {commit}"


def read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def logged(file: Path) -> list[str]:
    """The commits of a log of git's, the newest last."""
    found = (line.split(" ", 2)[1:2] for line in read(file).splitlines())
    return [commit for commits in found for commit in commits if HEAD.fullmatch(commit)]
