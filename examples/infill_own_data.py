"""Infill a prompt for one's own examples: python examples/infill_own_data.py

Twenty words and their plurals; the model writes the instruction. Nothing is downloaded.
"""

from promptinfill import MaskedDiffusionLM, Template, exact_match, infill

PAIRS = """
garden gardens, box boxes, river rivers, city cities, lamp lamps, brush brushes, stone stones,
berry berries, chair chairs, glass glasses, cloud clouds, story stories, table tables, bus buses,
letter letters, baby babies, window windows, dish dishes, forest forests, party parties
"""


def main() -> None:
    pairs = [pair.split() for pair in PAIRS.split(",")]
    rows = [{"word": word, "plural": plural} for word, plural in pairs]
    result = infill(
        Template("[MASK:10]\nInput: {word}\nOutput: {plural}", response="plural"),
        rows[:8],
        dlm=MaskedDiffusionLM.from_pretrained("embedded:best"),
        validation=rows[8:14],
        test=rows[14:],
        metric=exact_match,
        seed=0,
    )
    print(result.prompt)
    print(f"test accuracy {result.test.score:.2f} on {result.test.n} words")


if __name__ == "__main__":
    main()
