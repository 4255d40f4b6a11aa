import torch

from promptinfill.cli.denoising import Film, line, snapshots
from promptinfill.diffusion.sampling import StepTrace

PIECES = {1: " write", 2: " the", 3: " word", 4: "s", 7: "", 9: "\n"}


def decode(ids: list[int]) -> str:
    return "".join(PIECES[i] for i in ids).removeprefix(" ")


def step(samples: list[int], slots: list[int], tokens: list[int]) -> StepTrace:
    return StepTrace(
        step=0,
        samples=torch.tensor(samples),
        slots=torch.tensor(slots),
        token_ids=torch.tensor(tokens),
        confidences=torch.full((len(slots),), 0.5),
        tokens=torch.zeros(1, 1, dtype=torch.int64),
    )


def test_holes_fill_step_by_step() -> None:
    film = Film(decode, [2, 2])
    film.watch(step([0, 1], [2, 2], [3, 1]))  # sample 1 is somebody else
    film.watch(step([1], [0], [1]))
    film.watch(step([0, 0], [0, 3], [1, 4]))
    film.watch(step([0], [1], [2]))
    assert [frame.text.plain for frame in film.frames] == [
        "░░ ░░ │ ░░ ░░",
        "░░ ░░ │ word ░░",
        "write ░░ │ words",
        "write the │ words",
    ]
    assert [frame.step for frame in film.frames] == [0, 1, 2, 3]
    assert film.frames[1].committed == [{"slot": 2, "token": "word", "confidence": 0.5}]


def test_what_follows_the_end_is_dots_and_breaks_stay_on_the_line() -> None:
    film = Film(decode, [4], end=7)
    film.watch(step([0, 0, 0, 0], [0, 1, 2, 3], [3, 9, 7, 2]))
    assert film.frames[-1].text.plain == "word⏎ · ·"
    assert line(film.frames[-1]).plain == "   1  word⏎ · ·"


def test_snapshots_keep_first_and_last() -> None:
    film = Film(decode, [9])
    for slot in range(9):
        film.watch(step([0], [slot], [3]))
    assert [frame.step for frame in snapshots(film.frames, 4)] == [0, 3, 6, 9]
    assert [frame.step for frame in snapshots(film.frames[:2], 4)] == [0, 1]


def test_a_word_behind_a_mask_stands_apart() -> None:
    film = Film(decode, [3])
    film.watch(step([0], [1], [2]))
    assert film.frames[-1].text.plain == "░░ the ░░"
