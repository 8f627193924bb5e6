"""What CUDA_VISIBLE_DEVICES means, row by row, as data: how sure each row is, who says so, and examples.

The resolver names a row for every decision it takes; ``docs/cuda-visible-devices.md`` is generated from this
table; the tests walk its examples. Nothing here was run on a real driver for this project: each row rests on
the sources it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Strength(Enum):
    """What a row rests on, from the strongest kind to none."""

    DOCUMENTED = "documented"
    HARDWARE = "seen on hardware"
    SOURCE = "read in source"
    REIMPLEMENTED = "encoded by re-implementations"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


DOC, HW, SRC = Strength.DOCUMENTED, Strength.HARDWARE, Strength.SOURCE
IMPL, INF, UNK = Strength.REIMPLEMENTED, Strength.INFERRED, Strength.UNKNOWN

Units = tuple[str, ...]
"""Labels: ``"2"`` is GPU 2, ``"1/2/0"`` the slice of GPU 1 with GPU instance 2, compute instance 0."""


@dataclass(frozen=True, slots=True)
class Example:
    """A mask on a shipped inventory, what CUDA shows by default, and the other outcomes that the evidence
    allows.

    In ``mask``, ``{0}`` stands for the UUID of the inventory's first unit (GPUs by index, then MIG slices),
    ``{0:.12}`` for the first 12 characters of it. None means that the variable is not set.
    """

    mask: str | None
    inventory: str
    expect: Units
    also: tuple[Units, ...] = ()
    order: str | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. ``settled`` is False where the evidence leaves more than one outcome."""

    row: str
    form: str
    meaning: str
    evidence: tuple[Strength, ...]
    sources: tuple[str, ...]
    settled: bool = True
    examples: tuple[Example, ...] = ()

    @property
    def strength(self) -> str:
        """The evidence in words, such as ``documented, seen on hardware``."""
        return ", ".join(kind.value for kind in self.evidence)


SOURCES = {
    "guide": (
        "CUDA Programming Guide, section 5.2.1,"
        " https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html"
    ),
    "mig-guide": (
        "MIG User Guide, device names, https://docs.nvidia.com/datacenter/tesla/mig-user-guide/mig-device-names.html"
    ),
    "mps": "Multi-Process Service, https://docs.nvidia.com/deploy/topics/topic_5_2_1.html",
    "pytorch-92315": (
        "https://github.com/pytorch/pytorch/pull/92315: a parser meant to match driver 525.60.13, with posted runs"
    ),
    "pytorch-tests": "PyTorch, test/test_cuda*.py, TestVisibleDeviceParses",
    "pytorch": "PyTorch 2.13.0, torch/cuda/__init__.py",
    "nvitop": "nvitop 1.7.2, nvitop/api/device.py",
    "nvitop-8": "https://github.com/XuehaiPan/nvitop/pull/8",
    "nvitop-26": "https://github.com/XuehaiPan/nvitop/pull/26",
    "chainer-2245": "https://github.com/chainer/chainer/pull/2245",
    "dask-cuda-171": "https://github.com/rapidsai/dask-cuda/pull/171",
    "pytorch-84879": "https://github.com/pytorch/pytorch/pull/84879",
    "slurm": "Slurm, src/plugins/gres/common/gres_common.c",
    "toolkit": "NVIDIA Container Toolkit, internal/config/image",
    "nvidia-docker-262": "https://github.com/NVIDIA/nvidia-docker/issues/262",
    "nvidia-docker-907": "https://github.com/NVIDIA/nvidia-docker/issues/907",
    "digits-1358": "https://github.com/NVIDIA/DIGITS/issues/1358",
    "coursia-14751": "https://github.com/jsboige/CoursIA/pull/14751",
    "unsloth-6352": "https://github.com/unslothai/unsloth/issues/6352",
    "onnxruntime-28066": "https://github.com/microsoft/onnxruntime/pull/28066",
    "nvml": "NVML's documentation of nvmlDeviceGetHandleByIndex_v2",
    "pytorch-159641": "https://github.com/pytorch/pytorch/issues/159641",
    "cupy-9094": "https://github.com/cupy/cupy/issues/9094",
    "pytorch-docs": "PyTorch's documentation of multiprocessing and fork",
    "ray": "Ray, accelerators/nvidia_gpu.py",
    "zea-554": "https://github.com/tue-bmd/zea/pull/554",
    "rocm": "ROCm, amd_filter_device and rocclr's device selection",
    "pyxis-47": "https://github.com/NVIDIA/pyxis/issues/47",
    "devito-2710": "https://github.com/devitocodes/devito/pull/2710",
    "determined-7648": "https://github.com/determined-ai/determined/pull/7648",
}

_ALL_FOUR: Units = ("0", "1", "2", "3")
_WITHOUT_MIG_UUIDS = "460.32"
_ONE_SLICE = "550.54"
_MANY_SLICES = "580.95.05"

RULES: tuple[Row, ...] = (
    Row(
        "1",
        "unset",
        "Every GPU, in CUDA_DEVICE_ORDER. For MIG see rows 28 to 33.",
        (DOC,),
        ("guide",),
        examples=(
            Example(None, "a100x4", _ALL_FOUR),
            Example(None, "mixed4", ("2", "0", "3", "1")),
            Example(None, "none", ()),
        ),
    ),
    Row(
        "2",
        "empty",
        "No device: cuInit fails with CUDA_ERROR_NO_DEVICE (100). It does not mean unset.",
        (DOC, HW),
        ("guide", "nvitop-26"),
        examples=(Example("", "a100x4", ()),),
    ),
    Row(
        "3",
        "whitespace only",
        "Not a number, so the list ends at once: no device.",
        (IMPL,),
        ("pytorch", "nvitop"),
        examples=(Example(" ", "a100x4", ()), Example("\t\n", "a100x4", ())),
    ),
    Row(
        "4",
        "`-1`",
        "No device; an error (100), not a success with zero devices.",
        (DOC, HW),
        ("guide", "chainer-2245"),
        examples=(Example("-1", "a100x4", ()),),
    ),
    Row(
        "5",
        "ordinals, `2,1`",
        "Only the listed devices, in the order of the list: under `2,1` CUDA's device 0 is GPU 2.",
        (DOC,),
        ("guide",),
        examples=(Example("2,1", "a100x4", ("2", "1")), Example("3", "a100x4", ("3",))),
    ),
    Row(
        "6",
        "a negative number in the middle",
        "Ends the list: it and everything after it are hidden, what came before stays.",
        (DOC, HW),
        ("guide", "pytorch-92315"),
        examples=(
            Example("0,2,-1,1", "a100x4", ("0", "2")),
            Example("0,1,2,3,-1,5,6,7", "a100x8", _ALL_FOUR),
        ),
    ),
    Row(
        "7",
        "an ordinal out of range",
        "Ends the list: it and everything after it are hidden, what came before stays.",
        (DOC,),
        ("guide", "pytorch-tests"),
        examples=(Example("0,9,1", "a100x4", ("0",)), Example("1,5,0", "a100x2", ("1",))),
    ),
    Row(
        "8",
        "the first ordinal out of range",
        "No device: cuInit fails with CUDA_ERROR_NO_DEVICE (100).",
        (DOC, HW),
        ("guide", "dask-cuda-171"),
        examples=(
            Example("9,0", "a100x4", ()),
            Example("2,3,7,8", "a100x1", ()),
            Example("0", "none", ()),
        ),
    ),
    Row(
        "9",
        "the same ordinal twice",
        ("No device at all: neither the repetition alone is dropped, nor what follows it. Error 100 is assumed."),
        (IMPL,),
        ("pytorch-tests", "nvitop"),
        examples=(Example("0,1,0", "a100x4", ()), Example("0,0", "a100x4", ())),
    ),
    Row(
        "10",
        "the same ordinal again, after the list has ended",
        "Does not count: the list ended before.",
        (HW,),
        ("pytorch-92315",),
        examples=(Example("0,1,2,3,-1,0,6,7", "a100x8", _ALL_FOUR), Example("0,x,0", "a100x4", ("0",))),
    ),
    Row(
        "11",
        "the same ordinal again, after one out of range",
        "Either the list ended before (nvitop; the default here), or repetitions are looked for first and"
        " there is no device (PyTorch).",
        (UNK,),
        ("pytorch", "nvitop"),
        settled=False,
        examples=(
            Example("0,9,0", "a100x4", ("0",), also=((),)),
            Example("0,9,9", "a100x4", ("0",), also=((),)),
        ),
    ),
    Row(
        "12",
        "the same ordinal in other words, `0,00`",
        (
            "Probably as row 9, numbers being compared (PyTorch): no device. nvitop compares texts and lists"
            " the GPU twice."
        ),
        (INF,),
        ("pytorch", "nvitop"),
        settled=False,
        examples=(
            Example("0,00", "a100x4", (), also=(("0", "0"),)),
            Example("1,01", "a100x4", (), also=(("1", "1"),)),
        ),
    ),
    Row(
        "13",
        "space around ordinals, `0, 1`",
        "Accepted: leading space is skipped, trailing space is trailing text (row 15).",
        (IMPL,),
        ("pytorch-tests",),
        examples=(Example("0, 1", "a100x4", ("0", "1")), Example(" 2 , 1 ", "a100x4", ("2", "1"))),
    ),
    Row(
        "14",
        "a sign, `+3` or `-0`",
        "Signs belong to numbers: 3 and 0 (PyTorch). nvitop accepts digits only, so that the list ends.",
        (IMPL,),
        ("pytorch-tests", "nvitop"),
        settled=False,
        examples=(
            Example("2,+3,-0,1", "a100x4", ("2", "3", "0", "1"), also=(("2",),)),
            Example("+1", "a100x4", ("1",), also=((),)),
            Example("+", "a100x4", ()),
            Example("--1", "a100x4", ()),
        ),
    ),
    Row(
        "15",
        "text after the digits, `1gpu2`",
        "The leading digits count, the rest is ignored, as C's strtoul does.",
        (IMPL,),
        ("pytorch-tests", "pytorch"),
        examples=(
            Example("1gpu2,2ampere", "a100x4", ("1", "2")),
            Example("1.5", "a100x4", ("1",)),
            Example("0 1", "a100x4", ("0",)),
            Example("0_1", "a100x4", ("0",)),
        ),
    ),
    Row(
        "16",
        "a range, `0-2`",
        "Not a range: as row 15, the first number alone.",
        (HW,),
        ("pytorch-84879",),
        examples=(Example("0-2", "a100x4", ("0",)),),
    ),
    Row(
        "17",
        "leading zeros, `01`",
        ("Decimal in every re-implementation. Were the number base 0, as C's strtoul offers, `010` would be octal."),
        (IMPL, UNK),
        ("pytorch", "nvitop"),
        settled=False,
        examples=(
            Example("01", "a100x4", ("1",)),
            Example("007", "a100x8", ("7",)),
            Example("010", "a100x4", ()),
            Example("010", "a100x8", ()),
            Example("3,010", "a100x8", ("3",)),
            Example("08", "a100x4", (), also=(("0",),)),
        ),
    ),
    Row(
        "18",
        "hexadecimal, `0x1`",
        ("GPU 0 where numbers are decimal and the rest is ignored (PyTorch, nvitop); GPU 1 were the number base 0."),
        (UNK,),
        ("pytorch", "nvitop"),
        settled=False,
        examples=(Example("0x1", "a100x4", ("0",), also=(("1",),)),),
    ),
    Row(
        "19",
        "not a number, `gpu1`",
        ("Ends the list, as every invalid token: it and everything after it are hidden, what came before stays."),
        (IMPL,),
        ("pytorch-tests",),
        examples=(
            Example("gpu1", "a100x4", ()),
            Example("one,two,3,4", "a100x4", ()),
            Example("3,2,two,one", "a100x4", ("3", "2")),
        ),
    ),
    Row(
        "20",
        "an empty token, `0,,1`",
        "Ends the list, as every invalid token.",
        (IMPL,),
        ("pytorch", "nvitop"),
        examples=(
            Example("0,", "a100x4", ("0",)),
            Example("0,,1", "a100x4", ("0",)),
            Example(",0", "a100x4", ()),
        ),
    ),
    Row(
        "21",
        "a number of more than 31 bits",
        "Out of range on any sensible machine; but 2^32 may wrap to 0.",
        (UNK,),
        (),
        settled=False,
        examples=(
            Example("2147483648", "a100x4", ()),
            Example("4294967296", "a100x4", (), also=(("0",),)),
            Example("1,4294967298", "a100x4", ("1",), also=(("1", "2"),)),
        ),
    ),
    Row(
        "22",
        "`NoDevFiles`",
        ("No meaning to CUDA: as row 19, no device. Older versions of Slurm write it when a job was given no GPU."),
        (SRC, IMPL),
        ("slurm", "ray"),
        examples=(Example("NoDevFiles", "a100x4", ()),),
    ),
    Row(
        "23",
        "`all`, `none`, `void`",
        "Words of NVIDIA_VISIBLE_DEVICES, not of CUDA: as row 19, no device.",
        (INF,),
        (),
        examples=(
            Example("all", "a100x4", ()),
            Example("none", "a100x4", ()),
            Example("void", "a100x4", ()),
        ),
    ),
    Row(
        "24",
        "a very long list",
        "No limit is documented, and none matters: beyond as many entries as there are GPUs comes one that"
        " is invalid or listed twice.",
        (UNK,),
        ("mig-guide",),
        examples=(Example("0,1,2,3" + ",-1" * 1000, "a100x4", _ALL_FOUR),),
    ),
    Row(
        "25",
        "`GPU-` and a UUID",
        "That GPU. The order of the list is kept; CUDA_DEVICE_ORDER does not matter.",
        (DOC, HW),
        ("guide", "pytorch-92315"),
        examples=(
            Example("{2},{0}", "a100x4", ("2", "0")),
            Example("{1},{2}", "mixed4", ("1", "2"), order="PCI_BUS_ID"),
        ),
    ),
    Row(
        "25a",
        "the first characters of a UUID",
        "Accepted where only one GPU's UUID begins so; `GPU-` must be there, a dash may come last.",
        (DOC, HW),
        ("guide", "mps", "pytorch-92315"),
        examples=(
            Example("{3:.8},{1:.12}", "a100x4", ("3", "1")),
            Example("{2:.13},{0:.29}", "a100x4", ("2", "0")),
        ),
    ),
    Row(
        "25b",
        "the first characters of several UUIDs",
        "Ambiguous: ends the list, what came before stays.",
        (IMPL,),
        ("guide", "pytorch-tests"),
        examples=(
            Example("{6:.8}", "a100x8", ()),
            Example("{1},{7:.8},{0}", "a100x8", ("1",)),
            Example("GPU-", "a100x4", ()),
        ),
    ),
    Row(
        "25c",
        "a UUID that no GPU has",
        "Ends the list, what came before stays.",
        (IMPL,),
        ("pytorch-tests",),
        examples=(
            Example("GPU-00000000", "a100x4", ()),
            Example("{1},GPU-00000000,{0}", "a100x4", ("1",)),
            Example("{1}x", "a100x4", ()),
        ),
    ),
    Row(
        "25d",
        "the same GPU twice by UUID",
        "No device at all, also where one of the two is abbreviated.",
        (IMPL,),
        ("pytorch-tests",),
        examples=(Example("{1},{1}", "a100x4", ()), Example("{1},{0},{1:.8}", "a100x4", ())),
    ),
    Row(
        "25e",
        "`GPU-` alone",
        ("With one GPU it is a unique beginning (PyTorch), or no UUID at all; with several it is ambiguous (row 25b)."),
        (UNK,),
        ("pytorch",),
        settled=False,
        examples=(Example("GPU-", "a100x1", ("0",), also=((),)),),
    ),
    Row(
        "25f",
        "a UUID without `GPU-`",
        ("Not a UUID to CUDA. Its leading digits make an ordinal (PyTorch), or it is no number at all (nvitop)."),
        (INF,),
        ("mps", "pytorch", "nvitop"),
        settled=False,
        examples=(
            Example("5f1ce952-d417-4541-a323-cf2f078b0ef9", "a100x4", ()),
            Example("5f1ce952-d417-4541-a323-cf2f078b0ef9", "a100x8", ("5",), also=((),)),
            Example("fb1d2e4a-57bb-4a52-af44-868618abfccf", "a100x4", ()),
        ),
    ),
    Row(
        "25g",
        "a UUID in upper case, or `gpu-`",
        ("Vendors print lower case, and PyTorch and nvitop compare letter by letter; other tools of NVIDIA's do not."),
        (UNK,),
        ("pytorch", "nvitop", "toolkit"),
        settled=False,
        examples=(
            Example("GPU-5F1CE952", "a100x4", (), also=(("0",),)),
            Example("gpu-5f1ce952", "a100x4", (), also=(("0",),)),
        ),
    ),
    Row(
        "25h",
        "space around UUIDs",
        "Leading space is skipped as it is before ordinals, trailing space matches nothing (the default"
        " here); PyTorch skips neither, nvitop both.",
        (UNK,),
        ("pytorch", "nvitop"),
        settled=False,
        examples=(
            Example("{1}, {0}", "a100x4", ("1", "0"), also=(("1",),)),
            Example("{1} ,{0}", "a100x4", (), also=(("1", "0"),)),
            Example(" {1}", "a100x4", ("1",), also=((),)),
        ),
    ),
    Row(
        "26",
        "ordinals and UUIDs mixed",
        "The first token fixes the kind of the list; a token of another kind ends it.",
        (IMPL,),
        ("pytorch-tests", "nvitop"),
        examples=(
            Example("{1},0", "a100x4", ("1",)),
            Example("0,{1}", "a100x4", ("0",)),
            Example("{0},{2}", "mig", ("0",)),
        ),
    ),
    Row(
        "27",
        "a PCI bus id",
        "Not a legal form. Its leading digits make an ordinal (row 15).",
        (DOC,),
        ("guide",),
        examples=(Example("00000000:07:00.0", "a100x4", ("0",)),),
    ),
    Row(
        "28",
        "`MIG-` and a UUID",
        "That MIG slice, from driver R470 on. Before, slices had no UUIDs of their own (row 28a).",
        (DOC,),
        ("mig-guide", "guide"),
        examples=(
            Example("{3}", "mig", ("1/2/0",)),
            Example("{3}", "mig", ("1/2/0",), driver=_ONE_SLICE),
            Example("{3}", "mig", (), driver=_WITHOUT_MIG_UUIDS),
            Example("MIG-00000000-0000-0000-0000-000000000000", "mig", ()),
        ),
    ),
    Row(
        "28a",
        "`MIG-GPU-<uuid>/<gpu instance>/<compute instance>`",
        (
            "That MIG slice. It is the form before R470; later drivers take it too, with the GPU's UUID"
            " abbreviated or not."
        ),
        (IMPL,),
        ("nvitop", "mig-guide"),
        examples=(
            Example("MIG-{1}/2/0", "mig", ("1/2/0",)),
            Example("MIG-{1:.12}/1/0", "mig", ("1/1/0",)),
            Example("MIG-{1}/1/0", "mig", ("1/1/0",), driver=_WITHOUT_MIG_UUIDS),
            Example("MIG-{1}/7/0", "mig", ()),
        ),
    ),
    Row(
        "28b",
        "the first characters of a MIG UUID",
        "Abbreviation is documented for GPUs only, so it ends the list; a driver might accept it.",
        (UNK,),
        ("guide",),
        settled=False,
        examples=(Example("{3:.12}", "mig", (), also=(("1/2/0",),)),),
    ),
    Row(
        "28c",
        "`0:1`",
        "A form of NVIDIA_VISIBLE_DEVICES: here it is row 15, GPU 0.",
        (INF,),
        ("toolkit",),
        examples=(Example("0:1", "a100x4", ("0",)),),
    ),
    Row(
        "29",
        "MIG before R570: how many",
        "One MIG device per process. Where one is enumerated, GPUs outside MIG mode are hidden.",
        (DOC, HW),
        ("mig-guide", "pytorch-92315", "nvitop-8"),
        examples=(
            Example(None, "mig", ("1/1/0",), driver=_ONE_SLICE),
            Example("0,1", "mig", ("1/1/0",), driver=_ONE_SLICE),
            Example("0", "mig", ("0",), driver=_ONE_SLICE),
        ),
    ),
    Row(
        "30",
        "MIG before R570: which of several",
        "The first that is listed and there.",
        (IMPL,),
        ("nvitop", "mig-guide"),
        examples=(Example("{3},{2}", "mig", ("1/2/0",), driver=_ONE_SLICE),),
    ),
    Row(
        "31",
        "MIG from R570 on",
        "A compute instance of each GPU instance, beside GPUs outside MIG mode; of several listed in one GPU"
        " instance, one. The same pages still say that a process gets a single MIG device, and no run that"
        " shows two was published.",
        (DOC, UNK),
        ("mig-guide", "guide"),
        settled=False,
        examples=(
            Example(None, "mig", ("0", "1/1/0", "1/2/0"), also=(("1/1/0",),), driver=_MANY_SLICES),
            Example("{3},{2}", "mig", ("1/2/0", "1/1/0"), also=(("1/2/0",),)),
        ),
    ),
    Row(
        "32",
        "a GPU in MIG mode by ordinal",
        "Its first slice, seen before R570. From then on what it would contribute when nothing is masked"
        " (row 31; the default here), or still the first.",
        (HW, UNK),
        ("pytorch-92315",),
        settled=False,
        examples=(
            Example("1", "mig", ("1/1/0",), driver=_ONE_SLICE),
            Example("1", "mig", ("1/1/0", "1/2/0"), also=(("1/1/0",),)),
            Example("1,1", "mig", ()),
            Example("0,1", "mig", ("0", "1/1/0", "1/2/0"), also=(("0", "1/1/0"), ("1/1/0",))),
        ),
    ),
    Row(
        "32a",
        "a GPU in MIG mode without slices by ordinal",
        "Has nothing to run on, so it ends the list (the default here), or is skipped (nvitop).",
        (UNK,),
        ("nvitop",),
        settled=False,
    ),
    Row(
        "33",
        "a GPU in MIG mode by `GPU-` and UUID",
        "As by its ordinal (nvitop; the default here), or it ends the list.",
        (UNK,),
        ("nvitop",),
        settled=False,
        examples=(
            Example("{1}", "mig", ("1/1/0",), also=((),), driver=_ONE_SLICE),
            Example("{1}", "mig", ("1/1/0", "1/2/0"), also=((), ("1/1/0",))),
        ),
    ),
    Row(
        "34",
        "CUDA_DEVICE_ORDER",
        "`FASTEST_FIRST`, the default, is a simple heuristic; `PCI_BUS_ID` is ascending PCI bus id.",
        (DOC,),
        ("guide",),
        examples=(
            Example(None, "mixed4", ("2", "0", "3", "1"), order="FASTEST_FIRST"),
            Example(None, "mixed4", _ALL_FOUR, order="PCI_BUS_ID"),
        ),
    ),
    Row(
        "35",
        "what an ordinal counts",
        "CUDA's own enumeration, after CUDA_DEVICE_ORDER: unless that is PCI_BUS_ID, 0 is the fastest GPU"
        " and not nvidia-smi's GPU 0. The Programming Guide says otherwise; published runs refute it.",
        (HW,),
        ("nvidia-docker-262", "digits-1358", "coursia-14751", "unsloth-6352"),
        examples=(
            Example("0", "mixed4", ("2",)),
            Example("0", "mixed4", ("0",), order="PCI_BUS_ID"),
            Example("1,3", "mixed4", ("0", "1")),
        ),
    ),
    Row(
        "36",
        "which GPU is the fastest",
        (
            "Unpublished. An inventory says it (relative_speed); that equally fast GPUs come in PCI order is"
            " an assumption."
        ),
        (INF,),
        ("onnxruntime-28066",),
        examples=(Example(None, "h100x8", tuple("01234567")),),
    ),
    Row(
        "37",
        "CUDA_DEVICE_ORDER with another value, or in lower case",
        "Either order; the default here is that of an unset variable.",
        (UNK,),
        (),
        settled=False,
        examples=(
            Example("0", "mixed4", ("2",), also=(("0",),), order="pci_bus_id"),
            Example("0", "a100x4", ("0",), order="pci_bus_id"),
        ),
    ),
    Row(
        "38",
        "NVML's index",
        "Need not be CUDA's. NVML and nvidia-smi do not read CUDA_VISIBLE_DEVICES.",
        (DOC,),
        ("nvml",),
    ),
    Row(
        "39",
        "a change after initialisation",
        "Ignored: the value is read at the first cuInit, which counting the devices brings about.",
        (HW,),
        ("pytorch-159641", "cupy-9094"),
    ),
    Row(
        "40",
        "child processes",
        (
            "Inherit the variable as any other, and read it afresh after exec. After cuInit and a bare fork"
            " CUDA is unusable."
        ),
        (DOC,),
        ("pytorch-docs",),
    ),
    Row(
        "41",
        "a mask within a mask",
        "Replaces, never stacks: a child's value counts in the driver's whole list. Under `2,3` the second"
        " GPU is `3`; `1` escapes.",
        (INF,),
        ("guide", "ray", "zea-554"),
    ),
    Row(
        "42",
        "what does stack",
        ("Device nodes of a container or a cgroup; an MPS server's mask, whose clients count from 0 or use UUIDs."),
        (DOC, SRC),
        ("mps", "rocm"),
    ),
    Row(
        "43",
        "inside a container",
        "Indices start at 0, UUIDs stay: an index of the host may be out of range inside (row 8).",
        (HW,),
        ("nvidia-docker-907", "devito-2710", "pyxis-47"),
        examples=(
            Example("1", "container", ("1",)),
            Example("3", "container", ()),
            Example("{1}", "container", ("1",)),
        ),
    ),
    Row(
        "44",
        "Slurm",
        "With ConstrainDevices the mask is local to the job, from 0 on; otherwise minor numbers. Two jobs on"
        " one node may both hold `0` and mean different GPUs.",
        (SRC, HW),
        ("slurm", "determined-7648"),
    ),
)

BY_ROW = {rule.row: rule for rule in RULES}

REASONS = {
    "2": "empty: no device",
    "3": "blank: no device",
    "7": "out of range",
    "8": "out of range",
    "13": "space is skipped",
    "14": "a sign belongs to the number",
    "15": "only the leading digits count",
    "16": "not a range: the first number counts",
    "17": "decimal",
    "18": "decimal: only the 0 counts",
    "19": "not a number",
    "20": "empty",
    "21": "out of range",
    "22": "Slurm's word, not CUDA's",
    "23": "not a word of CUDA's",
    "25b": "several GPUs' UUIDs begin so",
    "25c": "no GPU has this UUID",
    "25g": "not lower case",
    "25h": "space around a UUID",
    "26": "of another kind than the first",
    "28": "no MIG slice has this UUID",
    "28a": "no such MIG slice",
    "28b": "an abbreviated MIG UUID",
    "29": "beside a MIG slice",
    "30": "an earlier slice is shown",
    "31": "another of its GPU instance is shown",
    "32a": "in MIG mode, without slices",
}
"""What a row says about a token, in a few words; rows that only say that a device is shown have none."""
NAMES_OF_SLICES = frozenset({"28", "28a"})
"""Rows whose words are of a token that names no slice: to one that is shown they do not apply."""
