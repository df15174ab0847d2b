"""The command line: each verb reads its arguments, runs one job and prints what it found."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from datetime import date
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import yaml

from features import __version__
from features.days import parse_day
from features.errors import InputError, LifecycleError
from features.ingest.contract import TABLES
from features.settings import SETTINGS_FILE, Settings, settings_file
from features.workspace import Workspace, replacing
from pipelines.console import (
    INTERRUPTED,
    STAGE_COLUMNS,
    Terminal,
    leave_in_silence,
    settle_process,
    stage_rows,
)

if TYPE_CHECKING:
    from pipelines.context import Context
    from pipelines.report.periods import PeriodKind
    from serving.reasons import Reasons
    from serving.sentences import Language
    from training.stages import Vocabulary

DEFAULT_WORKSPACE = "workspace"
Body = Callable[..., dict[str, Any]]


class Day(click.ParamType[date]):
    """A day as YYYY-MM-DD."""

    name = "day"

    def convert(
        self, value: str | date, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Read the text."""
        if isinstance(value, date):
            return value
        try:
            return parse_day(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


DAY = Day()
FILE = click.Path(path_type=Path)


def _shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--quiet", "-q", is_flag=True, help="Print errors only."),
        click.option(
            "--settings", "settings_path", type=FILE,
            help=f"Settings file; default {SETTINGS_FILE} in the workspace or the current folder.",
        ),
        click.option(
            "--workspace", "-w", type=FILE,
            help=f"Folder of all state; default ./{DEFAULT_WORKSPACE} or LIFECYCLE_WORKSPACE.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@_shared_options
@click.version_option(__version__, prog_name="lifecycle")
@click.pass_context
def main(
    ctx: click.Context, workspace: Path | None, settings_path: Path | None, quiet: bool
) -> None:
    """Who will leave, what they are worth, where they stand, and what is worth doing.

    A first look, with real orders that come along: lifecycle demo
    """
    settle_process()
    ctx.obj = {"workspace": workspace, "settings_path": settings_path, "quiet": quiet}


def verb(
    *,
    overrides: Callable[[dict[str, Any]], dict[str, Any]] = lambda given: {},
    before: Callable[[Workspace], None] = lambda workspace: None,
) -> Callable[[Body], click.Command]:
    """Make a command of a job: shared options, settings, errors as one sentence, ``--json``.

    Parameters
    ----------
    overrides
        Settings out of the command's own arguments.
    before
        What has to be in the workspace before its settings are read.
    """

    def wrap(body: Body) -> click.Command:
        @wraps(body)
        def run(**given: Any) -> None:  # noqa: ANN401 - click passes what was declared
            shared = click.get_current_context().obj
            place = given.pop("workspace") or shared["workspace"]
            path = given.pop("settings_path") or shared["settings_path"]
            quiet = given.pop("quiet") or shared["quiet"]
            json_path = given.pop("json_path")
            terminal = Terminal(quiet, only_json=str(json_path) == "-")
            try:
                from pipelines.context import Context  # noqa: PLC0415 - brings models' libraries

                workspace = Workspace(
                    Path(place or os.environ.get("LIFECYCLE_WORKSPACE") or DEFAULT_WORKSPACE)
                )
                before(workspace)
                found = path or settings_file(workspace.root)
                settings = Settings.load(found, os.environ, overrides(given))
                context = Context(workspace, settings, terminal.say)
                result = body(context, terminal, found, **given)
                if json_path is not None:
                    _write_json(json_path, result)
                sys.stdout.flush()
                terminal.afterwards()
            except LifecycleError as error:
                _fail(str(error))
            except BrokenPipeError:
                leave_in_silence()
            except KeyboardInterrupt:
                _fail("stopped by Ctrl+C; nothing was left half done", INTERRUPTED)
            except OSError as error:
                _fail(f"{error.filename or 'a file'}: {error.strerror or error}; nothing was lost")
            except Exception as error:
                if not _from_registry(error):
                    raise
                said = str(error).splitlines()[0][:200]
                remedy = (
                    "do that"
                    if "mlflow db upgrade" in said
                    else "check stores.tracking_uri, or restore the workspace's mlflow folder"
                )
                _fail(f"the MLflow registry cannot be used ({said}); {remedy}")

        command = click.option(
            "--json",
            "json_path",
            type=FILE,
            help="Write the result as JSON; - for standard output.",
        )(_shared_options(run))
        return click.command(name=body.__name__.rstrip("_"))(command)

    return wrap


def _from_registry(error: Exception) -> bool:
    """Whether MLflow or its database raised this: importing their errors here takes seconds."""
    return type(error).__module__.partition(".")[0] in {"mlflow", "sqlalchemy", "sqlite3"}


def _write_json(path: Path, result: dict[str, Any]) -> None:
    text = json.dumps(result, indent=2, default=str) + "\n"
    if str(path) == "-":
        click.echo(text, nl=False)
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _fail(message: str, code: int = 1) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


def _mapping(pairs: tuple[str, ...]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for pair in pairs:
        key, equals, column = pair.partition("=")
        if not equals or not key.strip() or not column.strip():
            raise InputError(f"--map {pair} is not COLUMN=FILE_COLUMN, e.g. --map amount=total")
        if key.strip() in mapping:
            raise InputError(f"--map names {key.strip()} twice; keep one of the two")
        mapping[key.strip()] = column.strip()
    return mapping


def _set_horizon(given: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if given.get("horizon_days") is not None:
        changed["churn"] = {"horizon_days": given["horizon_days"]}
    if given.get("trials") is not None:
        changed["training"] = {"trials": given["trials"]}
    return changed


def _table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for table in reversed(TABLES):
        command = click.option(
            f"--{table}", type=FILE, multiple=True, help=f"CSV or Parquet file of {table}."
        )(command)
    return command


@verb()
@_table_options
@click.option(
    "--map", "pairs", multiple=True, help="[TABLE.]COLUMN=FILE_COLUMN; repeat for each column."
)
def ingest(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    pairs: tuple[str, ...],
    **files: tuple[Path, ...],
) -> dict[str, Any]:
    """Read files into the workspace.

    Orders need the columns customer_id, ordered_at and amount (or quantity and unit_price), others
    are used where they are there; customers, interactions, treatments and contracts add what they
    know. Each option may be repeated; without any, the files named in the settings are read. The
    same file twice changes nothing, overlapping files are merged, and where one file is refused,
    none is taken.

    \b
    lifecycle ingest --orders orders.csv --map customer_id=client --map ordered_at=date
    lifecycle ingest --interactions clicks.csv --map interactions.kind=event_type
    """
    from pipelines.ingest import TableFile  # noqa: PLC0415
    from pipelines.ingest import ingest as job  # noqa: PLC0415

    named = [TableFile(table, path) for table in TABLES for path in files[table]]
    with terminal.progress():
        reports = job(context, named, _mapping(pairs))
    for report in reports:
        for sentence in report.sentences():
            terminal.note(sentence)
    # One file's report is the answer itself.
    told = [report.to_dict() for report in reports]
    return told[0] if len(told) == 1 else {"files": told}


@verb()
@click.option("--out", type=FILE, help="HTML file; default data-report.html in the workspace.")
def data(context: Context, terminal: Terminal, _: Path | None, out: Path | None) -> dict[str, Any]:
    """Report on the data: what was read, what they show, and what more would buy.

    \b
    lifecycle data --out report.html
    """
    from pipelines.data import report_data  # noqa: PLC0415

    page = out or context.workspace.root / "data-report.html"
    with terminal.progress():
        facts, reports = report_data(context, page)
    for sentence in facts.advice:
        terminal.note(sentence)
    terminal.note(f"the report, with figures: {page}")
    files = [report.to_dict() for report in reports]
    return {"file": str(page), "files": files, **facts.to_dict()}


@verb()
@click.option("--as-of", "days", type=DAY, multiple=True, help="Day to compute; repeat for more.")
@click.option("--online/--no-online", default=True, help="Put the newest of the days online.")
def features(
    context: Context, terminal: Terminal, _: Path | None, days: tuple[date, ...], online: bool
) -> dict[str, Any]:
    """Compute snapshots of features and put the newest day online.

    \b
    lifecycle features --as-of 1998-03-31 --as-of 1998-06-30
    """
    from pipelines.features import compute_features  # noqa: PLC0415

    with terminal.progress():
        chosen = sorted(set(days)) or [context.observed_until(context.ledger())]
        report = compute_features(context, chosen, online)
    terminal.note(
        f"{report.days} snapshot{'s' * (report.days != 1)}, {report.computed} computed now, "
        f"{report.customers:,} customers on {chosen[-1]}; online: {report.online_as_of or 'none'}"
    )
    return report.to_dict()


def _event_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for table in reversed(TABLES):
        command = click.option(
            f"--{table}", type=FILE, multiple=True, help=f"JSON lines of {table}, or -."
        )(command)
    return command


@verb()
@_event_options
@click.option("--idempotency-key", help="Names this push; default: its content does.")
def push(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    idempotency_key: str | None,
    **files: tuple[Path, ...],
) -> dict[str, Any]:
    """Take events as they arrive: kept for good, and answered for at once.

    Each line is an object with the contract's columns. The same push twice changes nothing.

    \b
    echo '{"customer_id": 1, "ordered_at": "2024-06-30T12:00:00Z", "amount": 20}' | \\
        lifecycle push --orders -
    """
    from pipelines.push import push as job  # noqa: PLC0415

    named = [(table, path) for table in TABLES for path in files[table]]
    with terminal.progress():
        report = job(context, named, idempotency_key)
    for sentence in report.sentences():
        terminal.note(sentence)
    return report.to_dict()


@verb(overrides=_set_horizon)
@click.option("--as-of", type=DAY, help="Learn from what was known by this day; default the last.")
@click.option("--horizon-days", type=int, help="Churned is no purchase within so many days.")
@click.option("--trials", type=int, help="Optuna trials for each of the two models.")
@click.option("--join", is_flag=True, help="Only run trials of a training started elsewhere.")
def train(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    as_of: date | None,
    join: bool,
    **__: object,
) -> dict[str, Any]:
    """Train churn and spend models and register them as one scorer.

    A training that was cut short goes on where it was. With --join, on another machine with the
    same data and settings, it runs trials of the one that was started without, and ends when none
    is left: both name one database in training.storage.

    \b
    lifecycle train --as-of 1998-06-30 --horizon-days 91
    lifecycle train --as-of 1998-06-30 --horizon-days 91 --join
    """
    from pipelines.train import join_training, train_scorer  # noqa: PLC0415

    if join:
        with terminal.progress():
            joined = join_training(context, as_of)
        names = ", ".join(joined.studies.values())
        terminal.note(f"no trial is left of {names}; {joined.seconds:.0f} s")
        return joined.to_dict()
    with terminal.progress():
        report = train_scorer(context, as_of)
    _show_evaluation(terminal, report.evaluation)
    terminal.note(f"churn is no purchase within {report.horizon_days} days: {report.horizon_why}")
    terminal.note(
        f"version {report.model_version} ({report.kind}), trained as of {report.as_of} on "
        f"{report.rows:,} snapshots of {report.training_days} days, in {report.seconds:.0f} s; "
        "next: lifecycle promote"
    )
    return report.to_dict()


@verb(overrides=_set_horizon)
@click.option(
    "--days",
    "count",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="How many days to replay, the newest a horizon before the data's end.",
)
@click.option(
    "--as-of",
    "days",
    type=DAY,
    multiple=True,
    help="Train as on this day instead; repeat for more.",
)
@click.option("--horizon-days", type=int, help="Churned is no purchase within so many days.")
@click.option("--trials", type=int, help="Optuna trials for each of the two models.")
def backtest(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    count: int,
    days: tuple[date, ...],
    **__: object,
) -> dict[str, Any]:
    """Replay history: train as on a day, judge by what then happened, beside every baseline.

    Nothing is registered. Days that are done are kept, and not done again while data and settings
    are the same.

    \b
    lifecycle backtest --days 4 --horizon-days 91
    lifecycle backtest --as-of 1997-12-31 --as-of 1998-03-31
    """
    from pipelines.backtest import backtest as job  # noqa: PLC0415
    from pipelines.evaluation_table import show  # noqa: PLC0415

    with terminal.progress():
        report = job(context, days, count)
    evaluation = report.evaluation.to_dict()
    show(terminal, evaluation, every_day=True)
    for day, why in report.left_out.items():
        terminal.note(f"{day} was left out: {why}")
    resumed = sum(r.resumed for r in report.replayed)
    terminal.note(
        f"replayed {', '.join(str(c.day) for c in report.contests)}, each judged after "
        f"{report.horizon_days} days, in {report.seconds:.0f} s; {resumed} kept from before"
    )
    return report.to_dict()


@verb()
@click.option("--as-of", type=DAY, help="Last day that is seen; default the last of the data.")
def effects(
    context: Context, terminal: Terminal, _: Path | None, as_of: date | None
) -> dict[str, Any]:
    """Measure what actions change, on treatments that had a control arm.

    For each action: how many more bought, how much more everybody spent, what the playbook assumes
    of that and what both come to together, whether customers differ in it, and whether the control
    arm can have been random. `train` measures the same, and its scorer answers by it; nothing is
    changed by this.

    \b
    lifecycle ingest --treatments treatments.parquet
    lifecycle effects
    """
    from pipelines.effects import measure_effects, show  # noqa: PLC0415

    with terminal.progress():
        report = measure_effects(context, as_of)
    show(terminal, report)
    return report.to_dict()


@verb(overrides=_set_horizon)
@click.option("--as-of", type=DAY, help="Day that it is of; default the last of the data.")
@click.option(
    "--step", "only", multiple=True, help="Do this step alone, for a scheduler; repeatable."
)
@click.option("--retrain", is_flag=True, help="Train although it is not due.")
@click.option("--anyway", is_flag=True, help="Let pass what looks broken in the data now.")
@click.option(
    "--past", type=click.IntRange(1, 500), help="Tell what so many last runs did instead."
)
@click.option("--horizon-days", type=int, help="Churned is no purchase within so many days.")
@click.option("--trials", type=int, help="Optuna trials for each of the two models.")
def run(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    as_of: date | None,
    only: tuple[str, ...],
    retrain: bool,
    anyway: bool,
    past: int | None,
    **__: object,
) -> dict[str, Any]:
    """Do the whole cycle: what is due of it, from new files to the report.

    \b
    ingest       files that settings name and that are new
    features     the day's snapshot
    watch        data, features, predictions and what came true
    train        when the newest model is old, or wrong by what came true
    promote      if the gate lets it
    materialise  the day's features online
    score        everybody
    recommend    a plan, if settings ask for one
    report       the lifecycle report
    retain       what is kept longer than settings allow is removed

    What stands is not done again, so it can be called as often as one likes. Killed at any moment,
    the next run goes on; where a step fails, what answered goes on answering. It ends with 3 where
    there is an alarm, with 1 where a step failed.

    \b
    lifecycle run
    lifecycle run --step ingest --step features
    lifecycle run --past 10
    """
    from pipelines.run import run as job  # noqa: PLC0415
    from pipelines.run import show, show_past  # noqa: PLC0415
    from pipelines.watch import ALARM_EXIT  # noqa: PLC0415

    if past is not None:
        from pipelines.cycle.journal import past_runs  # noqa: PLC0415

        context.workspace.require()
        found = past_runs(context.workspace, past)
        show_past(terminal, found)
        return {"runs": [one.to_dict() for one in found]}
    with terminal.progress():
        done = job(context, as_of, only, retrain=retrain, anyway=anyway)
    show(terminal, done)
    code = 1 if done.failed else ALARM_EXIT if done.alarms else 0
    terminal.afterwards = lambda: sys.exit(code)
    return done.to_dict()


@verb()
@click.option("--force", is_flag=True, help="Promote although the gate refuses; it is recorded.")
@click.option("--reason", help="Why it is forced; kept with the version.")
def promote(
    context: Context, terminal: Terminal, _: Path | None, force: bool, reason: str | None
) -> dict[str, Any]:
    """Let the newest model answer, if it is no worse than the champion beyond the gate's margins.

    \b
    lifecycle promote
    lifecycle promote --force --reason "the former one knew nothing of the new shop"
    """
    from pipelines.promote import promote as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context, force, reason)
    terminal.note(f"champion: {report.why}{' (forced)' if report.forced else ''}")
    return report.to_dict()


@verb()
@click.option("--why", required=True, help="What is wrong with the one that answers; kept.")
@click.option("--to", type=int, help="A former champion; default: the one before.")
@click.option("--by", help="Who rolls back; default: the user.")
def rollback(
    context: Context, terminal: Terminal, _: Path | None, why: str, to: int | None, by: str | None
) -> dict[str, Any]:
    """Let a former champion answer again, within seconds.

    It is loaded first, so that nothing gets the alias that cannot answer. The version that is left
    is not promoted again, unless by --force.

    \b
    lifecycle rollback --why "wrong prices since Monday"
    lifecycle rollback --to 3 --why "as before the new shop" --by anna
    """
    from pipelines.rollback import rollback as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context, why, to, by)
    terminal.note(
        f"champion: version {report.champion}, trained as of {report.trained_as_of}, in place of "
        f"version {report.former}; endpoints follow within a poll"
    )
    return report.to_dict()


@verb()
@click.argument("file", type=FILE)
def backup(
    context: Context, terminal: Terminal, settings_path: Path | None, file: Path
) -> dict[str, Any]:
    """Write the workspace to FILE.tar.zst (or .tar.gz), while its endpoint answers.

    Whoever can read it can read everything: customers, models, and passwords in lifecycle.yaml.

    \b
    lifecycle backup /backups/$(date +%F).tar.zst
    """
    from pipelines.backup import backup as job  # noqa: PLC0415

    report = job(context, file, settings_path)
    terminal.note(
        f"{report.files:,} files, {report.bytes / 1e6:,.1f} MB, as "
        f"{report.compressed_bytes / 1e6:,.1f} MB in {report.file}"
    )
    for sentence in report.not_included:
        terminal.note(f"not included: {sentence}")
    return report.to_dict()


@verb()
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Replace the workspace that is there.")
@click.option("--check", is_flag=True, help="Read and check the backup to its end, no more.")
def restore(
    context: Context, terminal: Terminal, _: Path | None, file: Path, replace: bool, check: bool
) -> dict[str, Any]:
    """Make the workspace what a backup holds, once all of it has been read and checked.

    Stop the endpoint before a workspace is replaced. One that was cut short is finished by the
    same command.

    \b
    lifecycle restore /backups/2024-06-30.tar.zst --workspace ./restored
    lifecycle restore --check /backups/2024-06-30.tar.zst
    """
    from pipelines.restore import restore as job  # noqa: PLC0415

    report = job(context, file, replace=replace, check=check)
    done = f"restored to {context.workspace.root}" if report.restored else "whole; nothing changed"
    terminal.note(
        f"backup of {report.made_at}, {report.files:,} files, {report.bytes / 1e6:,.1f} MB: {done}"
    )
    if report.erased_since:
        terminal.note(
            "erased since the backup, and back by it: the persons of "
            f"{', '.join(report.erased_since)}; run `lifecycle forget` for them again"
        )
    for sentence in report.not_included:
        terminal.note(f"not included: {sentence}")
    return report.to_dict()


@verb()
@click.option("--check", is_flag=True, help="Only say what is old.")
def migrate(context: Context, terminal: Terminal, _: Path | None, check: bool) -> dict[str, Any]:
    """Bring a workspace of an earlier version to this one, and say what is left to do.

    Snapshots are computed anew, scored days carried over. A model that this version cannot read has
    to be trained again: that is said, not done. Take a backup before.

    \b
    lifecycle migrate --check
    lifecycle migrate
    """
    from pipelines.migrate import migrate as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context, check)
    for part in report.parts:
        terminal.note(f"{part.state:<9} {part.name}: {part.said}")
    return report.to_dict()


@verb()
@click.option("--on", type=DAY, help="Which versions answered on this day (UTC).")
def champions(
    context: Context, terminal: Terminal, _: Path | None, on: date | None
) -> dict[str, Any]:
    """Tell which version answered when, who let it, and why.

    \b
    lifecycle champions
    lifecycle champions --on 2024-05-01
    """
    from pipelines.champions import champions as job  # noqa: PLC0415
    from pipelines.champions import show  # noqa: PLC0415

    with terminal.progress():
        report = job(context, on)
    show(terminal, report)
    return report.to_dict()


@verb()
@click.option(
    "--as-of",
    type=DAY,
    help="Last day of the week to look at; default the last that the data cover.",
)
def watch(
    context: Context, terminal: Terminal, _: Path | None, as_of: date | None
) -> dict[str, Any]:
    """Tell whether data and predictions are what they were; ends with 3 where they are not.

    \b
    lifecycle watch
    lifecycle watch --as-of $(date -u -d yesterday +%F)

    From cron name the day, so that an export that did not come is seen. Every alert is a line of
    JSON on standard error where that is no terminal; alarms go to monitoring.webhook.
    """
    from pipelines.watch import ALARM_EXIT, log_lines  # noqa: PLC0415
    from pipelines.watch import watch as job  # noqa: PLC0415
    from pipelines.watch_table import show  # noqa: PLC0415

    with terminal.progress():
        report = job(context, as_of)
    show(terminal, report)
    if not sys.stderr.isatty():
        for line in log_lines(report):
            click.echo(line, err=True)
    if report.alarms:
        terminal.afterwards = lambda: sys.exit(ALARM_EXIT)
    return report.to_dict()


@verb()
@click.option("--as-of", type=DAY, help="Score what was known by this day; default the last.")
@click.option(
    "--out", help="Parquet or CSV file, or postgresql://user@host/db; default: the workspace alone."
)
@click.option(
    "--table", default="lifecycle_scores", show_default=True, help="Table in the database of --out."
)
@click.option(
    "--reasons",
    type=click.Choice(("fast", "exact", "none")),
    default="fast",
    show_default=True,
    help="Approximate; exact by TreeSHAP, which takes long for many; or left out.",
)
@click.option(
    "--lang",
    type=click.Choice(("en", "zh")),
    help="Of the reasons and the stages' words; default: serving.language.",
)
@click.option(
    "--vocabulary",
    type=click.Choice(("stages", "four_way", "acquisition_retention", "relationship", "journey")),
    help="Whose words stage_label is in; default: serving.vocabulary.",
)
def score(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    as_of: date | None,
    out: str | None,
    table: str,
    reasons: Reasons,
    lang: Language | None,
    vocabulary: Vocabulary | None,
) -> dict[str, Any]:
    """Score every customer known on a day.

    The workspace keeps each day's scores; --out sends them elsewhere too. A database is filled
    batch by batch: a run that was cut short goes on where it was, and the same run again changes
    nothing.

    \b
    lifecycle score --as-of 1998-06-30 --out scores.parquet
    lifecycle score --out postgresql://crm@10.0.0.5/crm --table lifecycle_scores
    """
    from pipelines.score import score as job  # noqa: PLC0415
    from pipelines.value_table import show_value  # noqa: PLC0415

    with terminal.progress():
        report = job(context, as_of, out, reasons, lang, table, vocabulary)
    _show_stages(terminal, report.as_of, report.currency, report.stages)
    show_value(terminal, report.currency, report.value_grid, report.profit, report.rescue)
    sentences = [f"{report.customers:,} customers in {report.file}"]
    if report.delivered is not None and report.delivered.before:
        sentences.append(f"{report.delivered.before:,} were there from an earlier run")
    if report.delivered is not None and report.delivered.removed:
        sentences.append(f"{report.delivered.removed:,} who are gone were removed")
    terminal.note("; ".join(sentences))
    return report.to_dict()


def _set_hold_out(given: dict[str, Any]) -> dict[str, Any]:
    share = given.pop("hold_out")
    return {} if share is None else {"plan": {"most_held_out": share}}


@verb(overrides=_set_hold_out)
@click.option("--as-of", type=DAY, help="Plan by what was known on this day; default the last.")
@click.option("--budget", type=float, help="Expected cost that is not exceeded; default: no limit.")
@click.option("--campaign", help="Name of the campaign; default plan-DAY.")
@click.option("--out", type=FILE, help="Parquet or CSV file of those to be treated.")
@click.option("--mapping", type=FILE, help="YAML file of the columns that --out is written in.")
@click.option("--page", type=FILE, help="HTML file of the summary; default beside the plan.")
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=7,
    show_default=True,
    help="In how many days it is carried out, which the playbook's capacities are of.",
)
@click.option(
    "--hold-out", type=float, help="Largest share of an action's customers held out; default 0.2."
)
@click.option("--playbook", type=FILE, help="Compare with this playbook; needs --diff.")
@click.option(
    "--diff", "compared", is_flag=True, help="Say whom --playbook would move; plan nothing."
)
@click.option("--withdraw", metavar="CAMPAIGN", help="Take this campaign's plan back; needs --why.")
@click.option("--why", default="", help="Why it is taken back.")
@click.option("--by", help="Who takes it back; default: the user.")
def recommend(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    playbook: Path | None,
    compared: bool,
    withdraw: str | None,
    why: str,
    by: str | None,
    **given: Any,  # noqa: ANN401 - the wish's own fields
) -> dict[str, Any]:
    """Plan whom to treat with what, within a budget, capacities and cooldowns.

    At most one action a customer, so that the incremental value of all is greatest. Of each
    action's customers some are held out at random, so that `lifecycle outcomes` can tell what it
    changed; --out has those to be treated alone. The workspace keeps the plan, which can be
    ingested as treatments once it was carried out. The same again gives the same plan.

    \b
    lifecycle recommend --budget 5000 --campaign spring --out spring.csv
    lifecycle recommend --budget 5000 --campaign spring --out spring.csv --mapping zoho_crm
    lifecycle ingest --treatments workspace/plans/spring.v1.parquet
    lifecycle recommend --budget 5000 --playbook edited.yaml --diff --out moved.csv
    lifecycle recommend --withdraw spring --why "approved by mistake"
    """
    from pipelines.recommend import Wish, show  # noqa: PLC0415
    from pipelines.recommend import recommend as job  # noqa: PLC0415

    if withdraw is not None:
        from pipelines.withdraw import show as show_withdrawn  # noqa: PLC0415
        from pipelines.withdraw import withdraw as take_back  # noqa: PLC0415

        taken = take_back(context, withdraw, why, by)
        show_withdrawn(terminal, taken)
        return taken.to_dict()
    if compared != (playbook is not None):
        raise InputError(
            "--diff compares the live playbook with --playbook NEW: give both; a plan is made by "
            "the live one (serving.playbook)"
        )
    if playbook is not None:
        from pipelines.plan_diff import diff  # noqa: PLC0415
        from pipelines.plan_diff import show as show_diff  # noqa: PLC0415

        with terminal.progress():
            found = diff(context, Wish(**given), playbook)
        show_diff(terminal, found)
        return found.to_dict()
    with terminal.progress():
        report = job(context, Wish(**given))
    show(terminal, report)
    return report.to_dict()


@verb()
@click.option("--campaign", required=True, help="As it was planned by `lifecycle recommend`.")
@click.option("--as-of", type=DAY, help="Last day that is looked at; default the last of the data.")
def outcomes(
    context: Context, terminal: Terminal, _: Path | None, campaign: str, as_of: date | None
) -> dict[str, Any]:
    """Read back what a plan changed: treated against control, with intervals.

    Everybody counts in the arm that they were assigned to. Before the plan's horizon is over it
    says what there is so far.

    \b
    lifecycle outcomes --campaign spring
    """
    from pipelines.outcomes import outcomes as job  # noqa: PLC0415
    from pipelines.outcomes import show  # noqa: PLC0415

    with terminal.progress():
        report = job(context, campaign, as_of)
    show(terminal, report)
    return report.to_dict()


@verb()
@click.option("--customer", help="Tell the stages of this one.")
@click.option(
    "--since", type=DAY, help="A day that was scored; default: the one before the newest."
)
@click.option("--as-of", type=DAY, help="A day that was scored; default: the newest.")
@click.option(
    "--every",
    type=click.IntRange(1, 366),
    help="Score the days between that are missing, by so many.",
)
def stages(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    customer: str | None,
    since: date | None,
    as_of: date | None,
    every: int | None,
) -> dict[str, Any]:
    """Tell how customers moved between stages, how long they stay and where they go next.

    Everything is counted on the days that were scored. What lies ahead needs two of them a horizon
    apart; it is told for each third of a stage by churn probability.

    \b
    lifecycle stages --since 1998-03-31
    lifecycle stages --since 1997-12-31 --every 7
    lifecycle stages --customer 111
    """
    from pipelines.stages import show  # noqa: PLC0415
    from pipelines.stages import stages as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context, customer, since, as_of, every)
    show(terminal, report)
    return report.to_dict()


@verb()
@click.option("--playbook", type=FILE, help="A playbook that is not live; default the live alone.")
@click.option("--as-of", type=DAY, help="Last day that is seen; default the last of the data.")
def evaluate(
    context: Context, terminal: Terminal, _: Path | None, playbook: Path | None, as_of: date | None
) -> dict[str, Any]:
    """Say what a playbook would have brought on past treatments whose chances are known.

    By what it would have done for each customer on the eve, and what followed on who was treated
    and who was not: self-normalised inverse propensities and doubly robust, with intervals. Where
    the chances were not written down it declines.

    \b
    lifecycle evaluate
    lifecycle evaluate --playbook edited.yaml
    """
    from pipelines.evaluate import evaluate as job  # noqa: PLC0415
    from pipelines.evaluate import show  # noqa: PLC0415

    with terminal.progress():
        report = job(context, playbook, as_of)
    show(terminal, report)
    return report.to_dict()


@verb()
@click.option("--as-of", type=DAY, help="Segment who was known by this day; default the last.")
@click.option("--refit", is_flag=True, help="Fit the segments anew on this day.")
@click.option("--by", multiple=True, help="Slice by this column of customers alone; repeatable.")
@click.option("--out", type=FILE, help="Another place for the rows: Parquet or CSV.")
@click.option(
    "--lang",
    type=click.Choice(("en", "zh")),
    help="Of the words in the rows and the table; default: serving.language.",
)
def segments(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    as_of: date | None,
    refit: bool,
    by: tuple[str, ...],
    out: Path | None,
    lang: Language | None,
) -> dict[str, Any]:
    """Divide customers: RFM, value and risk, clusters of behaviour, slices by attributes.

    The fifths of RFM and the clusters are fitted once and kept, so that a customer's segment on a
    later day can be compared; --refit fits them anew. Each cluster is described by what sets it
    apart, and there are none where none comes back when customers are drawn anew. Attributes that
    the settings call sensitive are reported, and never used to divide.

    \b
    lifecycle segments --as-of 2024-06-30
    lifecycle segments --by region --by plan --lang zh --out segments.csv
    """
    from pipelines.segments import segment  # noqa: PLC0415
    from pipelines.segments_table import show_segments  # noqa: PLC0415

    with terminal.progress():
        report = segment(context, as_of, refit, by, out, lang)
    show_segments(terminal, report)
    return report.to_dict()


@verb()
@click.option(
    "--changed-since", type=DAY, required=True, help="A day that was scored, to compare with."
)
@click.option(
    "--mapping",
    type=FILE,
    required=True,
    help="YAML file of the other system's columns; zoho_crm and fxiaoke are shipped.",
)
@click.option(
    "--out", type=FILE, required=True, help="File to write; left alone if nothing is new."
)
@click.option("--again", is_flag=True, help="Write also what has been exported before.")
def export(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    changed_since: date,
    mapping: Path,
    out: Path,
    again: bool,
) -> dict[str, Any]:
    """Write the customers whose stage, action or band changed, for another system.

    Compared are the newest scores and those of the day. A decision goes out once to each system,
    however often this is run.

    \b
    lifecycle export --changed-since 1998-05-31 --mapping zoho_crm --out zoho.csv
    """
    from pipelines.export import export as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context, changed_since, mapping, out, again)
    terminal.note(
        f"{report.since} to {report.as_of}: {report.new:,} new, {report.changed:,} changed, "
        f"{report.gone:,} gone; {report.written:,} rows in {report.file or 'no file'}"
        + (f", {report.before:,} were exported before (--again)" if report.before else "")
    )
    return report.to_dict()


@verb()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Beyond loopback: needs a key."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--wait", is_flag=True, help="Start although no model has been promoted yet.")
def serve(
    context: Context,
    terminal: Terminal,
    settings_path: Path | None,
    port: int,
    host: str,
    workers: int,
    wait: bool,
) -> dict[str, Any]:
    """Start the endpoint; /readyz answers 200 when it can score.

    \b
    lifecycle serve --port 3000
    """
    from pipelines.serve import prepare, serve_command  # noqa: PLC0415

    with terminal.progress():
        away = prepare(context, wait)
    if away:
        terminal.note(f"not ready yet: {away}")
    command, environment = serve_command(context, host, port, workers, settings_path)
    terminal.note(f"http://{host}:{port}/v1/customers/score (Ctrl+C stops)")
    # The server takes this process over.
    terminal.afterwards = lambda: os.execvpe(command[0], command, environment)
    return {"host": host, "port": port, "workers": workers}


@verb()
@click.argument("decision_id")
def replay(
    context: Context, terminal: Terminal, _: Path | None, decision_id: str
) -> dict[str, Any]:
    """Give an answer or a score again, with that day's model, playbook and features.

    \b
    lifecycle replay 3f2a9c0d5e6b718293a4b5c6d7e8f901
    """
    from pipelines.replay import replay as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context, decision_id)
    to = f" to {report.caller}, request {report.request_id}" if report.caller else ""
    terminal.note(f"by the {report.by}, {report.at}{to}, with model version {report.model_version}")
    for name, value in report.answer.items():
        terminal.note(f"  {name}: {value}")
    for name, (said, again) in report.differences.items():
        terminal.note(f"DIFFERS  {name}: {said} was said, {again} comes out now")
    terminal.note("the same answer, to the last digit" if report.equal else "not the same answer")
    return report.to_dict()


@verb()
@click.option("--world", default="shop", show_default=True, help="Its name, or a YAML file.")
@click.option("--customers", type=int, default=10_000, show_default=True, help="How many register.")
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Of all chance.")
@click.option("--until", type=DAY, help="Last day; default that by which so many registered.")
@click.option("--since", type=DAY, help="Write only what arrived after this day.")
@click.option("--out", type=FILE, help="Folder to write; a former simulation there is replaced.")
@click.option(
    "--treat", type=FILE, multiple=True, help="Plan to carry out (customer_id, action, as_of)."
)
@click.option("--truth", "truth_days", type=DAY, multiple=True, help="Tell the truth of this day.")
@click.option("--horizon-days", type=int, default=90, show_default=True, help="Of the truth.")
@click.option("--known", is_flag=True, help="Tell also what could be known of the truth.")
@click.option("--list", "listed", is_flag=True, help="List the worlds and end.")
def simulate(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    out: Path | None,
    listed: bool,
    **given: Any,  # noqa: ANN401 - the job's own arguments
) -> dict[str, Any]:
    """Make a company of any size whose truth is known, as files for `lifecycle ingest`.

    The same world, customers and seed give the same company: until a later day it is the same and
    goes on. A plan is carried out on the morning after its day, and from then on in the place of
    the company's own treatments. docs/worlds.md says what is simulated.

    \b
    lifecycle simulate --world shop --customers 10000 --seed 7 --out shop
    lifecycle simulate --until 2025-07-07 --since 2025-06-30 --treat plan.parquet --out week
    lifecycle simulate --list
    """
    from pipelines.simulate import Order  # noqa: PLC0415
    from pipelines.simulate import simulate as job  # noqa: PLC0415
    from pipelines.worlds.catalogue import world_titles  # noqa: PLC0415

    if listed:
        titles = world_titles()
        for name, title in titles.items():
            terminal.note(f"{name:<15} {title}")
        return {"worlds": titles}
    if out is None:
        raise InputError("there is no folder to write to; name one with --out")
    with terminal.progress():
        report = job(context, Order(out=out, **given))
    terminal.note(f"{report.title}, {report.first_day} to {report.until}, seed {report.seed}")
    rows = ", ".join(f"{count:,} {table}" for table, count in report.rows.items())
    terminal.note(f"{rows} in {report.folder}, in {report.seconds:.0f} s")
    for day, told in report.truth.items():
        terminal.note(
            f"the truth of {day}: {told['customers']:,} customers, of whom {told['gone']:,} have "
            f"left, and {told['prospects']:,} prospects; mean churn "
            f"{told['churn_probability']:.3f}, expected spend {told['expected_spend']:,.0f}"
        )
    terminal.note(f"next: {shlex.join(report.ingest)}", as_is=True)
    return report.to_dict()


@verb()
@click.option("--out", type=FILE, help="HTML or Markdown; default handbook.html in the workspace.")
@click.option(
    "--lang", type=click.Choice(("en", "zh")), help="Its language; default: serving.language."
)
@click.option("--playbook", "file", type=FILE, help="Of this one; default that of the settings.")
def handbook(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    out: Path | None,
    lang: Language | None,
    file: Path | None,
) -> dict[str, Any]:
    """Print the handbook of differentiated service: stages, standards and actions.

    A page for the team: who is in a stage, what they can count on, and what may be done for them
    at which cost. It needs nothing from the network, and prints.

    \b
    lifecycle handbook --lang zh --out handbook.html
    lifecycle handbook --playbook mine.yaml --out handbook.md
    """
    from pipelines.handbook import write_handbook  # noqa: PLC0415

    with terminal.progress():
        page = out or context.workspace.root / "handbook.html"
        report = write_handbook(context, page, lang, file)
    terminal.note(f"{report.stages} stages and {report.actions} actions in {report.file}")
    return report.to_dict()


@verb()
@click.argument("ids", nargs=-1)
@click.option("--file", type=FILE, help="Ids, one a line, or a CSV with the column customer_id.")
@click.option("--why", default="", help="For the receipt; needed.")
@click.option("--by", help="Who does it; default the user of this process.")
@click.option("--bar-unknown", is_flag=True, help="Keep also those out later who are unknown here.")
@click.option(
    "--delivered", multiple=True, help="PostgreSQL that scores were sent to, with its password."
)
@click.option("--lift", "lifts", is_flag=True, help="Let who was erased be a customer again.")
@click.option("--since", type=DAY, help="With --lift: facts from this day on; default today.")
@click.option("--show", "request", help="Print the receipt of a former request.")
def forget(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    lifts: bool,
    since: date | None,
    request: str | None,
    **given: Any,  # noqa: ANN401 - the job's own arguments
) -> dict[str, Any]:
    """Erase persons from everything that this installation holds, and keep them out.

    Facts, features, scores, decisions, plans, what is online: docs/privacy.md lists it all. A later
    file or event of the same persons is left out. The receipt names nobody, and says what was not
    reached. Cut short, the same again, or `lifecycle forget` alone, finishes it.

    \b
    lifecycle forget 17850 --why "asked by letter of 3 May"
    lifecycle forget --file ids.csv --why "requests of May"
    lifecycle forget 17850 --lift --why "ordered again, and agreed"
    """
    from pipelines.forget import Wish, lift, show  # noqa: PLC0415
    from pipelines.forget import forget as job  # noqa: PLC0415
    from pipelines.privacy.receipt import Receipts  # noqa: PLC0415

    if request is not None:
        receipt = Receipts(context.workspace).require(request)
        for sentence in receipt.sentences():
            terminal.note(sentence)
        return receipt.to_dict()
    wish = Wish(**given)
    if lifts:
        lifted = lift(context, wish, since)
        terminal.note(f"{lifted.lifted} may come back, with what happens from {lifted.since} on")
        return lifted.to_dict()
    with terminal.progress():
        report = job(context, wish)
    show(terminal, report)
    return report.to_dict()


@verb()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def retain(context: Context, terminal: Terminal, _: Path | None, dry_run: bool) -> dict[str, Any]:
    """Remove what is kept longer than the settings of `privacy` allow, and say what that was.

    Old scores, segments, plans, snapshots, rows that could not be read, decisions, and persons who
    have done nothing for long. What answers now stays, whatever its age.

    \b
    lifecycle retain --dry-run
    """
    from pipelines.retain import retain as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context, dry_run)
    for sentence in report.sentences():
        terminal.note(sentence)
    return report.to_dict()


@verb()
@click.argument("customer")
@click.option("--out", type=FILE, required=True, help="A new folder.")
def person(
    context: Context, terminal: Terminal, _: Path | None, customer: str, out: Path
) -> dict[str, Any]:
    """Write all that is held of a person as CSV and JSON, with a page that explains it.

    For a person who asks: facts, features, scores with their reasons, decisions, plans, and which
    models had learned from them. Other customers are not named.

    \b
    lifecycle person 17850 --out person-17850
    """
    from pipelines.person import person as job  # noqa: PLC0415

    report = job(context, customer, out)
    for name, rows in report.rows.items():
        terminal.note(f"{name}: {rows:,} rows")
    terminal.note(f"what each is: {out / 'README.md'}")
    return report.to_dict()


@verb()
@click.option("--as-of", type=DAY, help="Day that it speaks of; default the last of the data.")
@click.option(
    "--period",
    type=click.Choice(("week", "month", "quarter")),
    default="month",
    show_default=True,
    help="What is compared: the newest whole ones up to the day.",
)
@click.option(
    "--lang", type=click.Choice(("en", "zh")), help="Its language; default: serving.language."
)
@click.option("--out", type=FILE, help="HTML; default lifecycle-report.html in the workspace.")
@click.option(
    "--history",
    type=click.IntRange(0, 24),
    default=5,
    show_default=True,
    help="Score so many ends of earlier periods where that was never done, so that moves show.",
)
@click.option("--customer", help="The page of one customer instead, by their id.")
def report(
    context: Context,
    terminal: Terminal,
    _: Path | None,
    as_of: date | None,
    period: PeriodKind,
    lang: Language | None,
    out: Path | None,
    history: int,
    customer: str | None,
) -> dict[str, Any]:
    """Tell what changed, where value is at risk, what actions brought and what to do next.

    One page that needs no network, with every indicator of acquisition, development, retention and
    loss, and where data are missing which table would bring them. It is kept in MLflow too, and
    --json has all its numbers. It needs orders; a promoted model adds stages, value and advice.

    \b
    lifecycle report
    lifecycle report --as-of 2024-06-30 --period quarter --lang zh --out report.html
    lifecycle report --customer 111 --out customer.html
    """
    from pipelines.report.report import customer_report  # noqa: PLC0415
    from pipelines.report.report import report as job  # noqa: PLC0415

    if customer is not None:
        page = out or context.workspace.root / "customer.html"
        with terminal.progress():
            found = customer_report(context, customer, as_of, lang, page)
        terminal.note(f"customer {found.key} on {found.day}: {page}")
        return {"file": str(page), **found.to_dict()}

    page = out or context.workspace.root / "lifecycle-report.html"
    with terminal.progress():
        done = job(context, as_of, period, lang, page, history)
    for said in (line for lines in done.said.values() for line in lines):
        terminal.note(said)
    terminal.note(f"the report of {done.contents.period.key}: {done.file}")
    return done.to_dict()


@main.group()
def playbook() -> None:
    """Check a playbook before it goes live, or begin one of your own.

    \b
    lifecycle playbook copy mine.yaml
    lifecycle playbook check mine.yaml
    """


@verb()
@click.argument("file", type=FILE, required=False)
def check(
    context: Context, terminal: Terminal, _: Path | None, file: Path | None
) -> dict[str, Any]:
    """Check a playbook: every mistake at once, each with its line; by default the one in use.

    Without a mistake it says what may be done in each stage, what the file changes of the playbook
    in use, and what can never happen with the data at hand. With mistakes it ends with 1.

    \b
    lifecycle playbook check mine.yaml
    """
    from pipelines.playbook import check_playbook  # noqa: PLC0415

    with terminal.progress():
        report = check_playbook(context, file)
    for mistake in report.mistakes:
        click.echo(f"{report.file}:{mistake.line}: {mistake.text}", err=True)
    if report.mistakes:
        terminal.afterwards = lambda: sys.exit(1)
        return report.to_dict()
    for stage, actions in (report.stages or {}).items():
        terminal.note(f"{stage}: {', '.join(actions)}")
    for title, sentences in (("changed", report.changes), ("mind", report.advice)):
        for sentence in sentences:
            terminal.note(f"{title}: {sentence}")
    terminal.note(f"{report.file} is a playbook, version {report.version}")
    return report.to_dict()


@verb()
@click.argument("file", type=FILE)
def copy(context: Context, terminal: Terminal, _: Path | None, file: Path) -> dict[str, Any]:
    """Begin a playbook from the one in use, with the schema that editors read beside it.

    \b
    lifecycle playbook copy mine.yaml
    """
    from pipelines.playbook import copy_playbook  # noqa: PLC0415

    schema = copy_playbook(file, context)
    terminal.note(
        f"{file}, which editors check by {schema}; next: edit it, then\n"
        f"  lifecycle playbook check {shlex.quote(str(file))}\n"
        f"and name it in lifecycle.yaml:\n"
        f"{yaml.safe_dump({'serving': {'playbook': str(file.resolve())}}).rstrip()}"
    )
    return {"file": str(file), "schema": str(schema)}


@verb()
def schema(context: Context, terminal: Terminal, _: Path | None) -> dict[str, Any]:
    """Print the JSON schema of playbooks.

    \b
    lifecycle playbook schema > playbook.schema.json
    """
    from serving.playbook_schema import playbook_schema, schema_text  # noqa: PLC0415

    terminal.note(schema_text().rstrip(), as_is=True)
    return playbook_schema()


for command in (check, copy, schema):
    playbook.add_command(command)


@verb()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(("score", "push", "admin")),
    multiple=True,
    default=("score",),
    show_default=True,
    help="What it is for; repeat for more.",
)
def key(
    context: Context, terminal: Terminal, _: Path | None, name: str, scopes: tuple[str, ...]
) -> dict[str, Any]:
    """Make an API key for the endpoint; it is shown once and stored nowhere.

    \b
    lifecycle key crm --scope score --scope push
    """
    from serving.endpoint.keys import digest_of, new_key  # noqa: PLC0415

    made = new_key()
    entry = {name: {"sha256": digest_of(made), "scopes": list(scopes)}}
    settings = yaml.safe_dump({"serving": {"api_keys": entry}}, sort_keys=False)
    terminal.note(f"the key, for its holder alone: {made}\n\nfor lifecycle.yaml:\n{settings}")
    return {"key": made, **entry[name]}


@verb()
def settings(context: Context, terminal: Terminal, path: Path | None) -> dict[str, Any]:
    """Show every setting and its value now.

    \b
    lifecycle settings
    """
    values = context.settings.model_dump(mode="json")
    terminal.note(f"# from {path or 'defaults and the environment'}")
    terminal.note(yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip(), as_is=True)
    return values


def _demo_workspace(workspace: Workspace) -> None:
    from pipelines.demo import prepare_workspace  # noqa: PLC0415

    prepare_workspace(workspace)


@verb(before=_demo_workspace, overrides=_set_horizon)
@click.option("--trials", type=int, help="Optuna trials for each of the two models.")
def demo(context: Context, terminal: Terminal, _: Path | None, **__: object) -> dict[str, Any]:
    """Go the whole way with CDNOW: 69,659 real orders of 23,570 customers.

    \b
    lifecycle demo --workspace ./workspace
    """
    from pipelines.demo import demo as job  # noqa: PLC0415

    with terminal.progress():
        report = job(context)
    for sentence in report.ingested:
        terminal.note(sentence)
    scored = report.scored
    _show_stages(terminal, scored.as_of, scored.currency, scored.stages)
    _show_evaluation(terminal, report.trained.evaluation)
    terminal.note(f"champion: {report.promoted.why}")
    place = shlex.quote(str(context.workspace.root))
    terminal.note(
        f"\nThat took {report.seconds:.0f} s. Next:\n"
        f"  a report    .venv/bin/lifecycle report --workspace {place}\n"
        f"  MLflow UI   mlflow/serve {place}\n"
        f"  endpoint    .venv/bin/lifecycle serve --workspace {place} --port 3000\n"
        "  a customer  curl -s http://127.0.0.1:3000/v1/customers/score "
        f"-d '{{\"customer_ids\": [{report.example_customer}]}}'"
    )
    return report.to_dict()


def _show_stages(
    terminal: Terminal, as_of: str, currency: str, stages: list[dict[str, Any]]
) -> None:
    terminal.table(f"\nCustomers on {as_of} ({currency})", STAGE_COLUMNS, stage_rows(stages))


def _show_evaluation(terminal: Terminal, evaluation: dict[str, Any] | None) -> None:
    from pipelines.evaluation_table import show  # noqa: PLC0415 - brings the models' libraries

    show(terminal, evaluation)


for command in (
    ingest,
    data,
    features,
    push,
    run,
    train,
    backtest,
    effects,
    promote,
    rollback,
    champions,
    backup,
    restore,
    migrate,
    score,
    stages,
    segments,
    recommend,
    outcomes,
    evaluate,
    watch,
    export,
    serve,
    replay,
    simulate,
    report,
    forget,
    person,
    retain,
    handbook,
    key,
    demo,
    settings,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
