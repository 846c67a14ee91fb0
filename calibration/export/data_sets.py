"""The data sets of the shipped network, with the citations that their licences ask for and their splits."""

from edge.bundle.manifest import DataSet

DATA_SETS = (
    DataSet(
        name="PTB-XL",
        version="1.0.1",
        licence="CC-BY-4.0",
        citation="Wagner et al. 2020, doi 10.1038/s41597-020-0495-6",
        split="folds 1-8 by patient: about 94% of the patients trained, the rest chose thresholds; fold 9 judged",
    ),
    DataSet(
        name="PhysioNet/CinC Challenge 2017",
        version="1.0.0",
        licence="ODC-By-1.0",
        citation="Clifford et al. 2017, doi 10.22489/CinC.2017.065-469",
        split="80% of the records trained, 10% chose, 10% judged, by a hash of the name; it names no patients",
    ),
    DataSet(
        name="MIT-BIH Arrhythmia",
        version="1.0.0",
        licence="ODC-By-1.0",
        citation="Moody & Mark 2001, doi 10.13026/C2F305",
        split="DS1 and the paced records trained, all of them where the network is of `ecg-train crossval --whole`, "
        "whose alarms networks set that had not seen the patients; else 106 115 122 201 208 209 217 chose; DS2 unseen",
    ),
    DataSet(
        name="MIT-BIH Noise Stress Test",
        version="1.0.0",
        licence="ODC-By-1.0",
        citation="Moody, Muldrow & Mark 1984, doi 10.13026/C2HS3T",
        split="noise records bw and ma added to training windows; em unseen",
    ),
)
