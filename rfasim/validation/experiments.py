"""The published experiments that were found, those without a study among them, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """A published experiment: where, what was done, and its study, or why there is none."""

    source: str
    what: str
    study: str = ""
    """name of the shipped study; empty where there is none"""
    why_not: str = ""
    """why no study of it can be made from what was read"""


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        "Luo et al., Acad Radiol 2010;17(8)",
        "temperature-controlled perfused needle, porcine liver ex vivo, nine settings, 72 lesions",
        "luo_2010",
    ),
    Experiment(
        "Rempp et al., Acad Radiol 2014;21(5)",
        "constant current, bipolar and monopolar, water- and gas-cooled needles, bovine liver ex vivo",
        "rempp_2014",
    ),
    Experiment(
        "Ha et al., Korean J Radiol 2014;15:836 (PMC4248641)",
        "bovine liver ex vivo, 1 and 2 min: volumes, energy, cut-offs",
        why_not="electrode, power and program of the generator were not read",
    ),
    Experiment(
        "Mertyna et al., Acad Radiol 2009;16:1539",
        "114 ablations with a 2.5 cm cluster, bovine liver ex vivo: temperature and dose at the border of the zone",
        why_not="each ablation ended when its zone was 20, 30 or 40 mm wide, which no protocol of a case can ask for",
    ),
    Experiment(
        "Lehmann et al., J Hepatobiliary Pancreat Sci 2016;23:508",
        "bipolar needle beside a glass tube, flow of 0 to 1500 mL/min, porcine liver ex vivo",
        "lehmann_2016",
    ),
    Experiment(
        "Poch et al., Innov Surg Sci 2018;3:245 (PMC6604585)",
        "multipolar ablation around a perfused glass tube, continuous, intermittent and no Pringle manoeuvre, porcine "
        "liver ex vivo",
        why_not="distances, power, energy, flow and the areas measured were not read, only which of them differed",
    ),
    Experiment(
        "Welp et al., Biomed Tech 2006;51:337",
        "monopolar electrode 10 mm from perfused vessels of 4 and 6 mm, temperatures at 10 and 20 mm, ex vivo",
        why_not="electrode, power, time and the temperatures measured were not read",
    ),
    Experiment(
        "Huang & Dodd, Acad Radiol 2012;19(8)",
        "cooled needle in blood-perfused bovine liver, portal flow of 10 to 50 mL/min/100 g, 57 ablations",
        "huang_2012",
    ),
    Experiment(
        "Chinn et al., AJR 2001;176:789",
        "multiprong electrode, Pringle manoeuvre, portal and arterial occlusion, pigs in vivo, 33 lesions",
        "chinn_2001",
    ),
    Experiment(
        "Kim et al., Korean J Radiol 2004;5:240 (PMC2698168)",
        "four-prong electrode with and without Pringle manoeuvre, rabbits in vivo, 24 animals",
        why_not="what was read is pathology (thrombosis, infarction), which the program does not predict; sizes were "
        "not read",
    ),
    Experiment(
        "Korean J Radiol 2004 (PMC2698170)",
        "dry, injected and infused NaCl solutions with a perfused-cooled electrode, bovine liver ex vivo, 50 ablations",
        "kjr_2004",
    ),
    Experiment(
        "Ji et al., Acad Radiol 2011;18(9)",
        "5 ml of water or saline injected before impedance-controlled pulses, porcine liver ex vivo",
        "ji_2011",
    ),
    Experiment(
        "Burdio et al., BioMed Eng OnLine 2007;6:30",
        "distance of a saline outlet from a cooled electrode, bovine liver ex vivo",
        "burdio_2007",
    ),
    Experiment(
        "Ishikawa et al., World J Gastroenterol 2013;19:1278",
        "expandable electrode, dry and with 1 mL/min of saline or glucose, bovine liver ex vivo",
        why_not="model of the electrode, program of the generator and time were not read",
    ),
    Experiment(
        "Wang et al., Math Biosci Eng (AIMS, article 3524)",
        "one electrode at 80 to 95 degC, porcine liver ex vivo, three each",
        why_not="only that curves of size over time agree with a model was read, no number",
    ),
)
"""All that were found; of models without a measurement (such as Tungjitkusolmun 2002) none is here."""
