"""DRV: what the CUDA driver shows under a mask is what ``docs/cuda-visible-devices.md`` says.

One rule a row. The functions choose masks on the machine at hand, as many as its devices allow; what each must show is
the resolver's word. Rows without a rule (38 to 42, 44) speak of more than one process's mask.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_gpuvisibility.records import MaskQuery
from pytest_gpuvisibility.suite import DoesNotApply

from .mask_queries import ask_row
from .masks import FASTEST, PCI, Masks

Queries = Iterator[MaskQuery]
TWO_TO_32 = 1 << 32
LONG = 1000
MIG_BEGINNING = len("MIG-00000000")


def ask(*masks: str | None, order: str | None = None) -> Queries:
    """These masks, under one CUDA_DEVICE_ORDER."""
    return (MaskQuery(mask, order) for mask in masks)


@ask_row("DRV-001", "1")
def test_unset(masks: Masks) -> Queries:
    masks.need_no_mig()
    masks.need(1)
    yield from ask(None)


@ask_row("DRV-002", "2")
def test_empty(masks: Masks) -> Queries:
    masks.need(1)
    yield from ask("")


@ask_row("DRV-003", "3")
def test_whitespace(masks: Masks) -> Queries:
    masks.need(1)
    yield from ask(" ", "\t\n")


@ask_row("DRV-004", "4")
def test_minus_one(masks: Masks) -> Queries:
    masks.need(1)
    yield from ask("-1")


@ask_row("DRV-005", "5")
def test_ordinals(masks: Masks) -> Queries:
    yield from ask(masks.ordinal(-1))
    yield from ask(masks.ordinals(-1, -2), masks.ordinals(-2, -1))
    yield from ask(masks.ordinals(2, 0, 1))


@ask_row("DRV-006", "6")
def test_a_negative_number_in_the_middle(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(-1)},-1")
    yield from ask(f"{masks.ordinal(-1)},-1,{masks.ordinal(-2)}", f"{masks.ordinal(0)},-2,{masks.ordinal(1)}")
    yield from ask(f"{masks.ordinals(0, 2)},-1,{masks.ordinal(1)}")


@ask_row("DRV-007", "7")
def test_an_ordinal_out_of_range(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(-1)},{masks.beyond}")
    yield from ask(f"{masks.ordinal(0)},{masks.beyond},{masks.ordinal(1)}")


@ask_row("DRV-008", "8")
def test_the_first_ordinal_out_of_range(masks: Masks) -> Queries:
    yield from ask(f"{masks.beyond},{masks.ordinal(0)}", masks.beyond, "99999")


@ask_row("DRV-009", "9")
def test_an_ordinal_twice(masks: Masks) -> Queries:
    yield from ask(masks.ordinals(-1, -1))
    yield from ask(masks.ordinals(0, 1, 0))


@ask_row("DRV-010", "10")
def test_an_ordinal_again_after_the_end(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(0)},-1,{masks.ordinal(0)}", f"{masks.ordinal(0)},x,{masks.ordinal(0)}")


@ask_row("DRV-011", "11")
def test_an_ordinal_again_after_one_out_of_range(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(0)},{masks.beyond},{masks.ordinal(0)}")
    yield from ask(f"{masks.ordinal(0)},{masks.beyond},{masks.beyond}")


@ask_row("DRV-012", "12")
def test_an_ordinal_twice_in_other_words(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(0)},0{masks.ordinal(0)}")


@ask_row("DRV-013", "13")
def test_space_around_ordinals(masks: Masks) -> Queries:
    yield from ask(f" {masks.ordinal(-1)} ")
    yield from ask(f"{masks.ordinal(0)}, {masks.ordinal(1)}", f" {masks.ordinal(1)} , {masks.ordinal(0)} ")


@ask_row("DRV-014", "14")
def test_a_sign(masks: Masks) -> Queries:
    yield from ask(f"+{masks.ordinal(-1)}", "-0", "+", "--1")
    yield from ask(f"{masks.ordinal(-1)},+{masks.ordinal(-2)}")


@ask_row("DRV-015", "15")
def test_text_after_the_digits(masks: Masks) -> Queries:
    yield from ask(*(f"{masks.ordinal(-1)}{rest}" for rest in ("gpu2", ".5", "_0", " 0")))
    yield from ask(f"{masks.ordinal(-1)}gpu,{masks.ordinal(-2)}ampere")


@ask_row("DRV-016", "16")
def test_a_range(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(0)}-{masks.beyond}")
    yield from ask(f"{masks.ordinal(0)}-{masks.ordinal(1)}")


@ask_row("DRV-017", "17")
def test_leading_zeros(masks: Masks) -> Queries:
    yield from ask(f"0{masks.ordinal(-1)}", f"00{masks.ordinal(-1)}", "010", f"{masks.ordinal(-1)},010", "08")


@ask_row("DRV-018", "18")
def test_hexadecimal(masks: Masks) -> Queries:
    masks.need(1)
    yield from ask("0x1", "0x0", "0X1")


@ask_row("DRV-019", "19")
def test_not_a_number(masks: Masks) -> Queries:
    yield from ask("gpu0", f"one,{masks.ordinal(0)}", f"{masks.ordinal(-1)},two")
    yield from ask(f"{masks.ordinals(-1, -2)},two,one")


@ask_row("DRV-020", "20")
def test_an_empty_token(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(-1)},", f",{masks.ordinal(-1)}", ",")
    yield from ask(f"{masks.ordinal(-1)},,{masks.ordinal(-2)}")


@ask_row("DRV-021", "21")
def test_more_than_31_bits(masks: Masks) -> Queries:
    wrapping = str(TWO_TO_32 + int(masks.ordinal(-1)))
    yield from ask(wrapping, str(TWO_TO_32 // 2), str(TWO_TO_32 - 1))
    yield from ask(f"{masks.ordinal(0)},{TWO_TO_32 + int(masks.ordinal(1))}")


@ask_row("DRV-022", "22")
def test_no_dev_files(masks: Masks) -> Queries:
    masks.need(1)
    yield from ask("NoDevFiles")


@ask_row("DRV-023", "23")
def test_words_of_containers(masks: Masks) -> Queries:
    masks.need(1)
    yield from ask("all", "none", "void")


@ask_row("DRV-024", "24")
def test_a_very_long_list(masks: Masks) -> Queries:
    masks.need(1)
    whole = masks.ordinals(*range(len(masks.gpus)))
    yield from ask(whole + ",-1" * LONG, whole + " " * LONG, f"{'x' * LONG},{whole}")


@ask_row("DRV-025", "25")
def test_uuids(masks: Masks) -> Queries:
    yield from ask(masks.uuid(-1))
    yield from ask(masks.uuids(-1, -2), masks.uuids(-2, -1))
    yield from ask(masks.uuids(-1, -2), order=PCI)


@ask_row("DRV-026", "25a")
def test_the_first_characters_of_a_uuid(masks: Masks) -> Queries:
    yield from ask(masks.prefix(-1), masks.uuid(-1)[:-1], f"{masks.uuid(-1)[:12]}-")
    yield from ask(f"{masks.prefix(-1)},{masks.prefix(-2)}")


@ask_row("DRV-027", "25b")
def test_the_first_characters_of_several_uuids(masks: Masks) -> Queries:
    yield from ask(masks.shared_prefix, f"{masks.uuid(-1)},{masks.shared_prefix}", "GPU-")


@ask_row("DRV-028", "25c")
def test_a_uuid_that_no_gpu_has(masks: Masks) -> Queries:
    yield from ask(masks.strange_prefix, f"{masks.uuid(-1)},{masks.strange_prefix}", f"{masks.uuid(-1)}x")
    yield from ask(f"{masks.uuid(-1)},{masks.strange_prefix},{masks.uuid(-2)}")


@ask_row("DRV-029", "25d")
def test_a_gpu_twice_by_uuid(masks: Masks) -> Queries:
    yield from ask(masks.uuids(-1, -1), f"{masks.uuid(-1)},{masks.prefix(-1)}")
    yield from ask(masks.uuids(0, 1, 0))


@ask_row("DRV-030", "25e")
def test_gpu_dash_alone(masks: Masks) -> Queries:
    count = len(masks.inventory.in_pci_order)
    if count != 1:
        raise DoesNotApply(f"needs exactly 1 GPU; {masks.inventory.name} has {count}")
    yield from ask("GPU-")


@ask_row("DRV-031", "25f")
def test_a_uuid_without_its_beginning(masks: Masks) -> Queries:
    masks.need(1)
    yield from ask(*(gpu.uuid.removeprefix("GPU-") for gpu in masks.gpus))


@ask_row("DRV-032", "25g")
def test_a_uuid_in_another_case(masks: Masks) -> Queries:
    digits = masks.uuid(-1).removeprefix("GPU-")
    yield from ask(f"GPU-{digits.upper()}", f"gpu-{digits}", f"GPU-{masks.prefix(-1)[4:].upper()}")


@ask_row("DRV-033", "25h")
def test_space_around_uuids(masks: Masks) -> Queries:
    yield from ask(f" {masks.uuid(-1)}", f"{masks.uuid(-1)} ")
    yield from ask(f"{masks.uuid(-1)}, {masks.uuid(-2)}", f"{masks.uuid(-1)} ,{masks.uuid(-2)}")


@ask_row("DRV-034", "26")
def test_ordinals_and_uuids_mixed(masks: Masks) -> Queries:
    yield from ask(f"{masks.uuid(-1)},{masks.ordinal(-1)}", f"{masks.ordinal(-1)},{masks.uuid(-1)}")
    if masks.slices:
        yield from ask(f"{masks.uuid(-1)},{masks.slices[0].uuid}")
    yield from ask(f"{masks.uuid(-1)},{masks.ordinal(-2)}", f"{masks.ordinal(-2)},{masks.uuid(-1)}")


@ask_row("DRV-035", "27")
def test_a_pci_bus_id(masks: Masks) -> Queries:
    known = [gpu.pci_bus_id for gpu in masks.gpus if gpu.pci_bus_id]
    if not known:
        raise DoesNotApply(f"needs 1 GPU whose PCI bus id is known; {masks.inventory.name} has 0")
    yield from ask(known[-1], known[-1][4:])


@ask_row("DRV-036", "28")
def test_a_mig_uuid(masks: Masks) -> Queries:
    masks.need_slices()
    yield from ask(*(unit.uuid for unit in masks.slices), "MIG-00000000-0000-0000-0000-000000000000")


@ask_row("DRV-037", "28a")
def test_a_mig_slice_by_gpu_and_instances(masks: Masks) -> Queries:
    masks.need_slices()
    for unit in masks.slices:
        places = f"{unit.gpu_instance}/{unit.compute_instance}"
        prefix = masks.inventory.unique_prefix(masks.inventory.devices[unit.index])
        yield from ask(f"MIG-{unit.parent_uuid}/{places}", f"MIG-{prefix}/{places}")
    yield from ask(f"MIG-{masks.slices[0].parent_uuid}/99/0")


@ask_row("DRV-038", "28b")
def test_the_first_characters_of_a_mig_uuid(masks: Masks) -> Queries:
    masks.need_slices()
    yield from ask(*(unit.uuid[:MIG_BEGINNING] for unit in masks.slices))


@ask_row("DRV-039", "28c")
def test_gpu_and_slice_by_numbers(masks: Masks) -> Queries:
    yield from ask(f"{masks.ordinal(-1)}:0", f"{masks.ordinal(-1)}:1")


@ask_row("DRV-040", "29")
def test_mig_before_r570_how_many(masks: Masks) -> Queries:
    masks.need_slices()
    masks.need_driver(many_slices=False)
    yield from ask(None, ",".join(masks.ordinal_of(gpu) for gpu in masks.inventory.fastest_first))
    yield from ask(masks.ordinal(-1))


@ask_row("DRV-041", "30")
def test_mig_before_r570_which(masks: Masks) -> Queries:
    masks.need_slices(2)
    masks.need_driver(many_slices=False)
    yield from ask(f"{masks.slices[-1].uuid},{masks.slices[0].uuid}", f"{masks.slices[0].uuid},{masks.slices[-1].uuid}")


@ask_row("DRV-042", "31")
def test_mig_from_r570_on(masks: Masks) -> Queries:
    masks.need_slices(2)
    masks.need_driver(many_slices=True)
    yield from ask(None, f"{masks.slices[-1].uuid},{masks.slices[0].uuid}")


@ask_row("DRV-043", "32")
def test_a_gpu_in_mig_mode_by_ordinal(masks: Masks) -> Queries:
    masks.need_slices()
    cut = masks.ordinal_of(masks.cut[0])
    yield from ask(cut, f"{cut},{cut}")
    yield from ask(f"{masks.ordinal(-1)},{cut}", f"{cut},{masks.ordinal(-1)}")


@ask_row("DRV-044", "32a")
def test_a_gpu_in_mig_mode_without_slices(masks: Masks) -> Queries:
    whole = [gpu for gpu in masks.inventory.in_pci_order if gpu.mig_enabled and not gpu.mig]
    if not whole:
        raise DoesNotApply(f"needs 1 GPU in MIG mode without slices; {masks.inventory.name} has 0")
    number = masks.ordinal_of(whole[0])
    yield from ask(number)
    yield from ask(f"{number},{masks.ordinal(-1)}", f"{masks.ordinal(-1)},{number}")


@ask_row("DRV-045", "33")
def test_a_gpu_in_mig_mode_by_uuid(masks: Masks) -> Queries:
    masks.need_slices()
    uuid = masks.cut[0].uuid
    yield from ask(uuid)
    yield from ask(f"{masks.uuid(-1)},{uuid}", f"{uuid},{masks.uuid(-1)}")


@ask_row("DRV-046", "34")
def test_cuda_device_order(masks: Masks) -> Queries:
    masks.need(2)
    yield from ask(None, order=FASTEST)
    yield from ask(None, order=PCI)


@ask_row("DRV-047", "35")
def test_what_an_ordinal_counts(masks: Masks) -> Queries:
    masks.need(2)
    if masks.inventory.fastest_first == masks.inventory.in_pci_order:
        raise DoesNotApply(f"needs a GPU that is faster than one before it on the bus; {masks.inventory.name} has none")
    for order in (None, FASTEST, PCI):
        yield from ask(*(masks.ordinal_of(gpu, order) for gpu in masks.gpus), order=order)


@ask_row("DRV-048", "36")
def test_which_gpu_is_the_fastest(masks: Masks) -> Queries:
    speeds = [gpu.relative_speed for gpu in masks.gpus]
    if len(set(speeds)) == len(speeds):
        raise DoesNotApply(f"needs 2 GPUs of one speed; {masks.inventory.name} has {len(speeds)} GPUs and no such pair")
    yield from ask(None)


@ask_row("DRV-049", "37")
def test_another_cuda_device_order(masks: Masks) -> Queries:
    masks.need(2)
    for order in ("pci_bus_id", "", "PCI_BUS_ID ", "1"):
        yield from ask(None, masks.ordinal(0), order=order)


@ask_row("DRV-050", "43")
def test_inside_a_container(masks: Masks) -> Queries:
    masks.need(1)
    inside = masks.inventory.in_pci_order
    minors = [str(gpu.minor) for gpu in inside if gpu.minor >= len(inside)]
    if not minors:
        raise DoesNotApply(
            f"needs a container in which a GPU's minor number is out of range; {masks.inventory.name} has no such GPU"
        )
    yield from ask(*minors, *(masks.ordinal_of(gpu) for gpu in masks.gpus), masks.uuid(-1))
