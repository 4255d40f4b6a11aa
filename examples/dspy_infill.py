"""Infill the instruction of a DSPy program: python examples/dspy_infill.py

No key, no network: the embedded model fills the instruction and answers with it. Needs
pip install 'promptinfill[dspy]'.
"""

import dspy

from promptinfill.integrations.dspy import InfillOptimizer, PlainAdapter, diffusion_lm

PAIRS = """
garden gardens, box boxes, river rivers, city cities, lamp lamps, brush brushes, stone stones,
berry berries, chair chairs, glass glasses, cloud clouds, story stories, table tables, bus buses,
letter letters, baby babies, window windows, dish dishes, forest forests, party parties
"""


def main() -> None:
    pairs = [pair.split() for pair in PAIRS.split(",")]
    rows = [dspy.Example(input=a, output=b).with_inputs("input") for a, b in pairs]

    def metric(example, prediction, trace=None):
        return float(prediction.output == example.output)

    lm = diffusion_lm("embedded:best", max_tokens=12)
    dspy.configure(lm=lm, adapter=PlainAdapter())
    optimizer = InfillOptimizer(metric, dlm=lm.dlm, seed=0)
    program = optimizer.compile(
        dspy.Predict("input -> output"), trainset=rows[:8], valset=rows[8:14]
    )
    correct = [metric(row, program(**row.inputs())) for row in rows[14:]]
    print(program.signature.instructions)
    print(f"validation {optimizer.report.baseline:.2f} -> {optimizer.report.score:.2f}")
    print(f"test accuracy {sum(correct) / len(correct):.2f} on {len(correct)} words")


if __name__ == "__main__":
    main()
