"""What a dossier says in the words of ASME V&V 40-2018: question, context of use, risk, factors of credibility, limits.

The standard leaves the gradations to whoever uses it; :data:`LEVELS` are this program's.
"""

from __future__ import annotations

from dataclasses import dataclass

STANDARD = (
    "ASME V&V 40-2018, Assessing Credibility of Computational Modeling through Verification and Validation: "
    "Application to Medical Devices"
)
QUESTION = (
    "How large is the zone that a radiofrequency ablation coagulates in liver, given the device, what its generator "
    "runs and for how long, the tissue, its blood flow, the vessels and the saline; and when does the impedance roll "
    "off?",
    "The number that decisions hang on is the zone's short axis, in millimetres: half of it is what lies between the "
    "needle and the border of the zone, and clinical margins are 5 to 10 mm.",
)


@dataclass(frozen=True)
class Context:
    """A use of the program, and the risk that a decision made with it is wrong."""

    use: str
    decision: str
    influence: str
    """how much of the decision rests on the model, and why"""
    consequence: str
    """what a wrong decision does"""
    risk: str
    asks: str
    """what the model has to do well for it"""


NO_PATIENTS = (
    "Research use only. No clinical decision may rest on this program: it has not been validated against patients, no "
    "regulator has seen it, and this dossier claims no credibility for a clinical context of use."
)
CONTEXTS: tuple[Context, ...] = (
    Context(
        "Device research",
        "which of two designs of an electrode, or programs of a generator, is worth building and testing",
        "medium: a bench test follows in any case",
        "low: time and material lost on the wrong prototype; nobody is harmed",
        "low",
        "order and direction of differences between settings; sizes within the scatter between livers",
    ),
    Context(
        "Planning preview",
        "none: it shows a researcher or a student how needle, vessels and blood flow act on a zone",
        "none on treatment; high on what the viewer comes to believe",
        "high if it were taken for a plan: tumour left alive, or a structure burnt",
        "not acceptable for treatment; low as long as it stays a demonstration",
        "what acts in which direction, and a plain statement of how sure the zone is",
    ),
    Context(
        "Continuous integration",
        "whether a change of the program may go in",
        "high: the exact solutions gate it",
        "low to medium: a mistake gets into results of research until somebody finds it",
        "low",
        "claims against exact solutions with gates; experiments are shown and gate nothing",
    ),
)


@dataclass(frozen=True)
class Factor:
    """A factor of credibility: what there is, how far that goes, and why not farther."""

    activity: str
    name: str
    level: int
    evidence: str
    gap: str


LEVELS: tuple[str, ...] = (
    "nothing",
    "some evidence, for single cases or in words",
    "numbers for the cases that matter, with gaps that are stated",
    "numbers for all that is used, and no gap known",
)
GOAL = 2
"""the level that the contexts of use ask for, all of them of low risk"""
FACTORS: tuple[Factor, ...] = (
    Factor(
        "Code verification", "software quality assurance", 2,
        "version control, strict type checking and lint, a test suite that runs before each change goes in, every "
        "command and code block of the documents executed by a test (CONTRIBUTING.md, tests/); import rules that a "
        "test reads (docs/architecture.md); every result holds version and hash of its case",
        "no quality system after a standard (such as IEC 62304), no independent review, one team",
    ),
    Factor(
        "Code verification", "numerical code verification", 2,
        "exact solutions in 1-D, 2-D, axisymmetric and 3-D, manufactured solutions with observed orders in space and "
        "time, books that close, each claim with a gate (the table of this chapter; rfasim/verification/)",
        "roll-off itself, where boiling and current feed on each other, has no exact solution",
    ),
    Factor(
        "Calculation verification", "discretisation error", 2,
        "meshes refined for four cells of two studies and at default sizes (docs/validation.md, 'How large the "
        "numerical error is'; benchmarks/README.md): as shipped, zones are 0.4 to 0.6 mm too wide for a cooled needle "
        "in drying tissue, 0.1 to 0.3 mm for a dry one",
        "not refined cell by cell; studies in three dimensions (Lehmann 2016, Chinn 2001) not refined at all",
    ),
    Factor(
        "Calculation verification", "numerical solver error", 2,
        "steps are refused when the embedded error exceeds a tolerance; a third of it moves the short axis by 0.1 mm "
        "and the end by 1 % in the cell that was tried; energy closes however well the stages are solved "
        "(docs/physics/time.md); the same bits for any number of threads",
        "tolerances of the linear solver not varied study by study",
    ),
    Factor(
        "Calculation verification", "use error", 2,
        "a number without a unit, an unknown field and parts that do not fit are refused with a sentence; each shipped "
        "study is read and checked by a test; what a case resolves to is shown by --dry-run; studies are plain files "
        "with every assumption in them",
        "studies were written by those who wrote the program; nobody else has transcribed the measurements again",
    ),
    Factor(
        "Validation: model", "model form", 1,
        "each study names the likely reason of its misses and what other forms of the model would give (the remarks of "
        "each study); docs/limits.md lists what is not in the model",
        "transport of steam, charring, cracking and shrinkage of tissue are not in the model, and most misses of this "
        "dossier are put down to them",
    ),
    Factor(
        "Validation: model", "model inputs", 2,
        "every property of tissue has a source (rfasim tissues); the literature's ranges of four properties of liver "
        "are carried through to each prediction as a band, the same draws in all studies",
        "devices and generators were often not described: lengths, coolant and control are assumed; those assumptions, "
        "pores of the tissue, water content and the damage criterion are not in the bands; a uniform range is no "
        "distribution of livers",
    ),
    Factor(
        "Validation: comparator", "test samples", 1,
        "excised porcine and bovine livers, and pigs in vivo in one study; six to ten ablations a cell, more in "
        "some; means and standard deviations as published",
        "no human liver, no tumour, no cirrhosis; raw data were not available, so neither were outliers and shapes",
    ),
    Factor(
        "Validation: comparator", "test conditions", 1,
        "what was measured and how is quoted study by study, with its source",
        "room temperature, distances, electrodes and programs were often not read, from abstracts above all, and are "
        "assumed; uncertainties of the measurements themselves are not published",
    ),
    Factor(
        "Validation: assessment", "equivalency of input parameters", 1,
        "powers, currents, times, volumes and concentrations are those of the experiment; every other input is "
        "listed as assumed, with a reason, and the same for all cells of a study",
        "properties of the very livers were never measured; one set of literature values stands for all",
    ),
    Factor(
        "Validation: assessment", "output comparison", 2,
        "difference in units and in standard deviations for every number published, totals, aims stated in each study, "
        "bands of the predictions, failures first; nothing tuned per case",
        "what a pathologist measures (the pale zone, by eye) is compared with a criterion of damage (Omega = 1); no "
        "statistical test, because raw data are missing; the shape of zones is not compared",
    ),
    Factor(
        "Applicability", "relevance of the quantities of interest", 2,
        "short axis, volume, time to roll-off and temperatures are both measured and asked for",
        "margins to a tumour, which planning would ask for, were measured in no study",
    ),
    Factor(
        "Applicability", "relevance of the validation to the context of use", 1,
        "needles of most classes, mean powers from 6 to 106 W, flow in one tube, portal flow, clamping, saline",
        "no patient, no tumour, no tree of vessels: see the chapter on applicability",
    ),
)
OUTSIDE: tuple[str, ...] = (
    "human liver, in vivo or resected; tumours, cirrhosis, fat; any organ but liver",
    "vessels other than one straight glass tube beside the needle; trees of vessels taken from images",
    "umbrellas, clusters, switched sets of needles, and christmas trees but for one model whose lengths are assumed",
    "margins to tumours, distances to structures, doses in them; shapes of zones beyond axes and volume",
    "what happens after switch-off, days later, or under drugs",
    "powers and times outside those of the table",
)
NOTHING_TUNED: tuple[str, ...] = (
    "A study states its tissue, boiling, blood, temperatures, damage criterion and zone once, for all cells. The "
    "reader (rfasim/validation/study.py) refuses a cell that changes one of them, and a test of the program tries "
    "that it does (tests/test_validate.py).",
    "All shipped studies use one set of properties, liver_ex_vivo, as measured on excised liver; a test compares the "
    "resolved cases. Studies of perfused liver add a stated perfusion, the study of a glass tube adds the tube's "
    "water.",
    "That set was chosen with the results of two studies known (Luo 2010, Rempp 2014), of three sets that were run; "
    "the numbers of all three are in docs/validation.md. All later studies took it before any run.",
    "Assumptions were written before a study was run, remarks after. What would agree better is listed in the "
    "remarks and in docs/validation.md with the reason why it is not used.",
    "Aims are stated in the study file. A run that fails, or gives no such number, counts as a miss. Lists are "
    "complete: no row is left out of a list, and totals count every row.",
)
