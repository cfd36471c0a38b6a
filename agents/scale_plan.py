"""Many actors and one learner, simulated before anybody rents them: who waits for whom, what is dropped, how stale.

    python -m agents.scale_plan
    python -m agents.scale_plan --actors 1000 --queue-batches 1 2 4 8 16 --what "longer queues"

Actors send chunks of steps into a bounded queue, the learner takes batches of it and sends weights back, which arrive
late; all times vary. Beside it the bytes that frames and weights take on the network. Nothing is trained: the inputs
are measured elsewhere and given as flags. Several numbers behind a flag are as many plans. Writes a row for each plan
into results/scale_plan.csv.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from agents.experiments.scale_bytes import Sizes, traffic_of
from agents.experiments.scale_simulation import Plan, Simulation, WhenFull, flow_of
from agents.reports.provenance import provenance_of_command
from agents.reports.store import upsert
from agents.training.cli import cli, command
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import NotNegative, Ranged, Seed

Row = dict[str, Any]
PLANS = (*("actors", "steps_per_second", "chunk_steps", "batch_chunks", "update_ms"), "broadcast_ms", "delay_ms")
MOST_EVENTS = 3 * 10**6  # of a plan: a minute or two, and under 1 GB
KEY = ("what", *PLANS, "queue_batches", "when_full", "spread", "warm_up_seconds", "seconds", "seed")


@dataclass(frozen=True)
class Config(Ranged):
    """Simulate actors, queue, learner and broadcasts. Flags that take several numbers: one, or one for each plan."""

    # Words that name these plans in the table.
    what: str = "plan"
    # Actors, each on a core of its own.
    actors: tuple[Annotated[int, Interval(ge=1, le=100_000)], ...] = (2, 32, 100, 1_000)
    # Agent steps a second of one actor.
    steps_per_second: tuple[Annotated[float, Interval(ge=0.1, le=1_000_000)], ...] = (1_000.0,)
    # Steps that an actor sends at once.
    chunk_steps: tuple[Annotated[int, Interval(ge=1, le=65_536)], ...] = (64,)
    # Chunks of an update; 0: as many as there are actors, rounded down to a power of two, 8 to 512.
    batch_chunks: tuple[Annotated[int, Interval(ge=0, le=65_536)], ...] = (0,)
    # Milliseconds of an update.
    update_ms: tuple[Annotated[float, Interval(ge=0.01, le=1_000_000)], ...] = (50.0,)
    # Milliseconds between broadcasts of weights; 0: after each update.
    broadcast_ms: tuple[Annotated[float, Interval(ge=0, le=1_000_000)], ...] = (100.0,)
    # Milliseconds until weights have arrived.
    delay_ms: tuple[Annotated[float, Interval(ge=0, le=1_000_000)], ...] = (50.0,)
    # Batches that the queue holds.
    queue_batches: tuple[Annotated[int, Interval(ge=1, le=1_024)], ...] = (2,)
    # What gives way where the queue is full: the oldest chunk in it, the new one, or the actor, which waits.
    when_full: WhenFull = "oldest"
    # Standard deviation of the logarithm of all times and speeds.
    spread: Annotated[float, Interval(ge=0, le=2)] = 0.2
    # Simulated seconds before anything is counted.
    warm_up_seconds: Annotated[float, Interval(ge=0, le=100_000)] = 10.0
    # Simulated seconds that are counted.
    seconds: Annotated[float, Interval(ge=0.1, le=100_000)] = 20.0
    # Bytes of a frame as it is: one of 84 x 84, for stacks are made by who receives.
    frame_bytes: Annotated[float, Interval(ge=1, le=10**9)] = 7_056.0
    # Bytes of a packed frame.
    packed_bytes: Annotated[float, Interval(ge=0, le=10**9)] = 100.0
    # Bytes of what else a step has: action, reward, end, log-probability or value.
    other_bytes: NotNegative = 16.0
    # Microseconds to unpack a frame.
    unpack_us: Annotated[float, Interval(ge=0, le=1_000_000)] = 5.0
    # Bytes of all weights: 425,047 of the small network in 16 bits.
    weight_bytes: Annotated[float, Interval(ge=1, le=10**12)] = 850_094.0
    # Actors of a host, which share one copy of the weights.
    actors_per_host: Annotated[int, Interval(ge=1, le=100_000)] = 16
    # Hosts that a host passes weights on to.
    fan_out: Annotated[int, Interval(ge=1, le=100_000)] = 8
    # Seed of all that varies.
    seed: Seed = 0
    # Also draw the figure of all rows of the CSV into this file.
    figure: Path | None = None
    # Folder of scale_plan.csv.
    results_dir: Path = Path("results")

    def __post_init__(self) -> None:
        """Refuse flags that do not fit together. Raises: ConfigError."""
        super().__post_init__()
        for name in (*PLANS, "queue_batches"):
            if (given := len(getattr(self, name))) not in (1, self.plans):
                flag = name.replace("_", "-")
                if not given:
                    raise ConfigError(f"--{flag} needs a number, or one for each plan")
                raise ConfigError(f"--{flag} has {given} numbers for {self.plans} plans: give 1 or {self.plans}")
        for number in range(self.plans):
            if (events := self._events(number)) > MOST_EVENTS:
                fewer = f"{MOST_EVENTS / events * (self.seconds + self.warm_up_seconds):.2g}"
                raise ConfigError(
                    f"plan {number + 1} has some {events:,.0f} events, at most {MOST_EVENTS:,} are simulated:"
                    f" --seconds and --warm-up-seconds of together {fewer}, or longer chunks and intervals"
                )

    @property
    def plans(self) -> int:
        """Return how many plans there are."""
        return max(len(getattr(self, name)) for name in (*PLANS, "queue_batches"))

    def of(self, name: str, number: int) -> Any:
        """Return what a flag says of a plan."""
        values = getattr(self, name)
        value = values[number if len(values) > 1 else 0]
        if name == "batch_chunks" and not value:
            return min(max(1 << (self.of("actors", number).bit_length() - 1), 8), 512)
        return value

    def plan(self, number: int) -> Plan:
        """Return a plan as it is simulated."""
        actors, speed, chunk, batch, update, broadcast, delay = (self.of(name, number) for name in PLANS)
        queue = batch * self.of("queue_batches", number)
        times = update / 1e3, broadcast / 1e3, delay / 1e3
        return Plan(actors, speed, chunk, batch, *times, queue, self.when_full, self.spread)

    def _events(self, number: int) -> float:
        """Estimate chunks, updates and arrivals of weights."""
        plan = self.plan(number)
        chunks = plan.actors * plan.steps_per_second / plan.chunk_steps
        updates = min(1 / plan.update_seconds, chunks / plan.batch_chunks)
        often = updates
        if plan.broadcast_seconds:
            chunks, often = chunks + 1 / plan.broadcast_seconds, min(1 / plan.broadcast_seconds, updates)
        return (self.seconds + self.warm_up_seconds) * (chunks + updates + plan.actors * often)


def row_of(config: Config, number: int, display: ProgressDisplay) -> Row:
    """Simulate a plan and return its row, without provenance."""
    plan = config.plan(number)
    simulation, updates_before = Simulation(plan, config.seed), 0
    warm, whole = config.warm_up_seconds, config.warm_up_seconds + config.seconds
    stops = sorted({warm, whole, *(whole * part / 100 for part in range(1, 100))})
    for until in stops:
        simulation.run(until)
        if until == warm:
            simulation.reset_shares()
            updates_before = simulation.version
        display.update(int(number * whole + until), f"{plan.actors:,} actors")
    flow = flow_of(simulation, warm, updates_before)
    often = flow.updates_per_second
    if plan.broadcast_seconds:
        often = min(often, 1 / plan.broadcast_seconds)
    sizes = Sizes(*(getattr(config, field.name) for field in fields(Sizes)))
    traffic = traffic_of(plan.actors, plan.steps_per_second, often, sizes)
    row: Row = {"what": config.what} | {name: config.of(name, number) for name in (*PLANS, "queue_batches")}
    row |= {name: getattr(config, name) for name in KEY if name not in row}
    row |= {name: _rounded(value) for name, value in asdict(flow).items()} | asdict(sizes)
    return row | {
        f"{name}_mb" if name not in ("tree_levels", "unpack_cores") else name: _rounded(value)
        for name, value in asdict(traffic).items()
    }


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


@command
def main(argv: list[str] | None = None) -> None:
    """Simulate, print, write the CSV and the figure."""
    config = cli(Config, argv)
    file = config.results_dir / "scale_plan.csv"
    print(
        "actors  batch  used/s  dropped  lag (95 %)  queue  idle  waiting  bottleneck  packed, weights by tree [MB/s]"
    )
    whole = config.warm_up_seconds + config.seconds
    with ProgressDisplay("scale_plan", int(config.plans * whole), "simulated seconds") as display:
        for number in range(config.plans):
            row = row_of(config, number, display)
            upsert(file, [row | provenance_of_command("agents.scale_plan")], key=KEY, in_place=True)
            display.say(
                f"{row['actors']:6,} {row['batch_chunks']:6} {row['used_per_second']:7,.0f} {row['dropped']:8.1%}"
                f" {row['lag_median']:4} ({row['lag_95']:4}) {row['queue']:6.0%} {row['idle']:5.0%}"
                f" {row['waiting']:8.0%}  {row['bottleneck']:10}  {row['packed_mb']:,.1f}, {row['tree_node_mb']:,.1f}"
            )
    if config.figure is not None:
        from agents.reports import scale

        print(f"{scale.write_figure(file, config.figure)} drawn")


if __name__ == "__main__":
    main()
