"""From a job's adaptations to modules, and the checks that they can work together."""

from collections.abc import Mapping

from xdseg.adaptations.contract import Adaptation
from xdseg.compatibility import RANKS
from xdseg.errors import BadInput
from xdseg.registry import ADAPTATIONS
from xdseg.segmenters.contract import Description
from xdseg.training.job import Split, TrainingJob
from xdseg.training.streams import global_draws

OFFICES = {"pseudo_labels": "pseudo-labels", "need": "a map of need"}  # what one adaptation gives to the others


def build_adaptations(job: TrainingJob, description: Description) -> dict[str, Adaptation]:
    """The job's adaptations by name, in order. Raises BadInput if they cannot work with the data or one another."""
    adaptations: dict[str, Adaptation] = {}
    for name, settings in job.adaptations:
        with global_draws(job.seed, f"init/{name}", 0):
            adaptations[name] = ADAPTATIONS[name].load()(settings, description)
    check_needs(adaptations, job.target)
    return adaptations


def check_needs(adaptations: Mapping[str, Adaptation], target: Split | None) -> None:
    """Raises BadInput for an adaptation whose needs nothing meets, and for two that claim one office."""
    granted = "nothing" if target is None else "images" if target.labels is None else "labels"
    for name, adaptation in adaptations.items():
        wanted = adaptation.needs.target
        if wanted != ADAPTATIONS[name].needs_target:
            raise BadInput(
                f"adaptation {name}: needs {wanted} of the target but declares {ADAPTATIONS[name].needs_target}"
            )
        if RANKS.index(wanted) > RANKS.index(granted):
            raise BadInput(f"adaptation {name}: needs the target's {wanted}; choose a setting that grants them")
    check_teachers(adaptations)
    check_providers(adaptations)


def check_teachers(adaptations: Mapping[str, Adaptation]) -> None:
    """Raises BadInput if two adaptations want different teachers: there is one per method."""
    needs = {name: part.needs for name, part in adaptations.items() if part.needs.teacher is not None}
    if len({(need.teacher, need.teacher_norm) for need in needs.values()}) > 1:
        wanted = ", ".join(f"{name} {need.teacher} ({need.teacher_norm})" for name, need in needs.items())
        raise BadInput(f"adaptations want teachers of different rate or norm: {wanted}; choose one")


def check_providers(adaptations: Mapping[str, Adaptation]) -> None:
    """Raises BadInput unless what adaptations share, if anyone needs or provides it, comes from exactly one."""
    for office, what in OFFICES.items():
        providers = [name for name, adaptation in adaptations.items() if getattr(adaptation, f"provides_{office}")]
        if len(providers) > 1:
            raise BadInput(f"adaptations {' and '.join(providers)}: both provide {what}; keep one")
        needy = [name for name, adaptation in adaptations.items() if getattr(adaptation.needs, office)]
        if needy and not providers:
            raise BadInput(f"adaptation {needy[0]}: needs {what}, which no other one of the method provides")
