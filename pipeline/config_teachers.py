"""Which member teaches which: train.teacher's names, found among the configuration's members."""

import dataclasses
import difflib

from pipeline.config_fields import Config, Member
from pipeline.errors import UsageError


def with_teachers(config: Config, source: str) -> Config:
    """Give each member the teacher that it names.

    Raises UsageError for a name that no other member has, for members that teach each other, for train.pseudo
    without a teacher, and for a teacher that can't teach.
    """
    try:
        members = tuple(_with_teacher(member, config.members, ()) for member in config.members)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    return dataclasses.replace(config, members=members)


def _with_teacher(member: Member, members: tuple[Member, ...], taught: tuple[str, ...]) -> Member:
    """Return the member with its teacher, which has its own; `taught` are the names of those it teaches."""
    train, chain = member.train, (*taught, member.name)
    if not train.teacher:
        if train.pseudo:
            raise UsageError(
                f"train.pseudo of {member.name} needs a train.teacher, whose probabilities are the test "
                "images' targets."
            )
        return member
    if train.teacher == member.name:
        raise UsageError(
            f"train.teacher of {member.name} is that member itself: name another one, in [[members]], not in "
            "[train], which all members share."
        )
    if train.teacher in chain:
        raise UsageError(f"{' ← '.join((*chain, train.teacher))} teach each other: none can be the first.")
    others = {one.name: one for one in members if one.name != member.name}
    if train.teacher not in others:
        near = difflib.get_close_matches(train.teacher, others, 3, 0.5) or others
        known = f"there is {', '.join(near)}" if others else "there is none"
        raise UsageError(f"train.teacher of {member.name} is {train.teacher!r}, no other member; {known}.")
    _check_teacher(member, others[train.teacher])
    return dataclasses.replace(member, teacher=_with_teacher(others[train.teacher], members, chain))


def _check_teacher(member: Member, teacher: Member) -> None:
    if teacher.train.select != "last":
        raise UsageError(
            f'{teacher.name} teaches {member.name}, so it needs train.select = "last": in the choice of an '
            "epoch the labels of a fold that its student must not know would have a say."
        )
    if member.train.refit and not teacher.train.refit:
        raise UsageError(
            f"train.refit of {member.name} needs train.refit of its teacher, {teacher.name}: the model of "
            "all rows learns from the teacher's."
        )
