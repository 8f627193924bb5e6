"""VIS: a server uses the devices it was given, and no other."""

from __future__ import annotations

from pytest_gpuvisibility.suite import MUST, SHOULD, Need, rule

from .expect import (
    assert_as_driver,
    assert_each,
    assert_masks_only_narrow,
    assert_no_sharing,
    assert_not_a_bare_error,
    assert_nothing_used,
    assert_refused,
    assert_uses_count,
    assert_uses_exactly,
    assert_within,
    shares_as_declared,
)
from .launch import REFUSAL, Gpus, Launch, mask, uuids

WORDS = ("all", "none", "void", "NoDevFiles")
"""What people and container runtimes write, and CUDA does not know."""


@rule("VIS-001", MUST, sources=["eth-sri/lmql#333", "pytorch/serve#1197", "deepseek-ai/DeepSpec#36"], devices=4)
def test_a_mask_that_does_not_begin_at_0_is_obeyed(launch: Launch, gpus: Gpus) -> None:
    """The workers use the devices of an offset mask, all of them and no other.

    nvidia-smi, NVML and /proc ignore CUDA_VISIBLE_DEVICES: whoever counts devices there and hands out 0, 1, 2 takes
    other people's GPUs. Start from what CUDA shows to the launcher.
    """
    given = gpus.last_half(at_least=2)
    fleet = launch(visible=mask(given, gpus), total=len(given))
    assert_uses_exactly(fleet, gpus, uuids(given))


@rule("VIS-002", MUST, sources=["eth-sri/lmql#333", "pytorch/serve#1197"], devices=3)
def test_a_mask_with_a_hole_is_obeyed(launch: Launch, gpus: Gpus) -> None:
    """The workers use devices 0 and 2 of the mask 0,2.

    The count is right and the devices are wrong where a server only takes the mask's length.
    """
    given = gpus.every_other(2)
    fleet = launch(visible=mask(given, gpus), total=2)
    assert_uses_exactly(fleet, gpus, uuids(given))


@rule("VIS-003", MUST, sources=["areal-project/AReaL#38"], devices=2)
def test_without_a_mask_every_gpu_may_be_used(launch: Launch, gpus: Gpus) -> None:
    """Without CUDA_VISIBLE_DEVICES the server starts, and uses as many devices as it was asked to.

    A server that insists on the variable cannot run on a machine of one's own.
    """
    gpus.need(2)
    count = len(gpus.devices) if launch.profile.division == "visible" else 2
    assert_uses_count(launch(visible=None, total=count), gpus, count)


@rule(
    "VIS-004",
    MUST,
    sources=["bentoml/BentoML#3972", "areal-project/AReaL#38", "tensorflow/tensorflow#16284"],
    needs=REFUSAL,
)
def test_an_empty_mask_hides_every_gpu(launch: Launch, gpus: Gpus) -> None:
    """CUDA_VISIBLE_DEVICES="" means no GPU; it does not mean "not set".

    Schedulers write it to keep a job off the GPUs. `if os.getenv(...)` reads it as unset and takes them all.
    """
    gpus.need(1)
    fleet = launch(visible="", total=min(2, len(gpus.devices)))
    assert_nothing_used(fleet, gpus)
    assert_refused(fleet)
    launch.would_start_without_a_mask(fleet)


@rule("VIS-005", MUST, sources=["Planet-AI-GmbH/tfaip#8", "ollama/ollama#15752"], needs=REFUSAL)
def test_minus_one_hides_every_gpu(launch: Launch, gpus: Gpus) -> None:
    """CUDA_VISIBLE_DEVICES=-1 means no GPU.

    It is what most people type to hide them. Split at commas it looks like one device.
    """
    gpus.need(1)
    fleet = launch(visible="-1", total=min(2, len(gpus.devices)))
    assert_nothing_used(fleet, gpus)
    assert_refused(fleet)
    launch.would_start_without_a_mask(fleet)


@rule("VIS-006", MUST, sources=["deepseek-ai/DeepInfer#268"], devices=3)
def test_minus_one_ends_the_list(launch: Launch, gpus: Gpus) -> None:
    """In 0,2,-1,1 the list ends at -1: two devices can be used, a third cannot.

    The example is the CUDA documentation's own. Who counts commas counts four.
    """
    given = gpus.every_other(2)
    visible = f"{mask(given, gpus)},-1,1"
    assert_uses_exactly(launch(visible=visible, total=2), gpus, uuids(given))
    if launch.profile.division == "visible":
        return  # it cannot be asked for a third
    three = launch(visible=visible, total=3, needs=REFUSAL)
    assert_within(three, gpus)
    if not shares_as_declared(three, gpus, launch.profile.supports):
        assert_refused(three)


@rule("VIS-007", MUST, sources=["vllm-project/vllm-ascend#10227", "ray-project/ray#28467"], needs=REFUSAL)
def test_a_device_that_is_not_there_ends_the_list(launch: Launch, gpus: Gpus) -> None:
    """In 0,99,1 the list ends at 99: asked for two devices, the server refuses, and touches at most device 0.

    CUDA drops 99 and all that follows without a word. Compare what was asked for with what CUDA shows before
    planning, and name the entry that CUDA did not take.
    """
    if launch.profile.division == "visible":
        alone = launch(visible="0,99,1", needs=tuple(Need))
        assert_uses_exactly(alone, gpus, alone.permitted)
        return
    fleet = launch(visible="0,99,1", total=2)
    assert_within(fleet, gpus)
    if not shares_as_declared(fleet, gpus, launch.profile.supports):
        assert_refused(fleet)


@rule("VIS-008", MUST, sources=["vllm-project/vllm-ascend#10227", "bentoml/BentoML#5443"], needs=REFUSAL)
def test_a_mask_of_nothing_but_unknown_devices_hides_every_gpu(launch: Launch, gpus: Gpus) -> None:
    """CUDA_VISIBLE_DEVICES=99 means no GPU on a machine that has no device 99, and never device 0."""
    fleet = launch(visible="99", groups=1)
    assert_nothing_used(fleet, gpus)
    assert_refused(fleet)
    launch.would_start_without_a_mask(fleet)


@rule("VIS-009", MUST, sources=["ray-project/ray#28064", "pytorch/pytorch#92315"], devices=3, needs=REFUSAL)
def test_a_device_that_is_named_twice_is_not_two_devices(launch: Launch, gpus: Gpus) -> None:
    """Under CUDA_VISIBLE_DEVICES=2,2 there are not two devices: asked for two, the server refuses.

    CUDA has been seen to show none at all. Who counts entries counts two, and two workers meet on one GPU. Count what
    CUDA shows, and name the entry that is there twice.
    """
    gpus.need(3)
    fleet = launch(visible="2,2", total=2)
    assert_as_driver(fleet, gpus, 2)
    assert_within(fleet, gpus)
    assert_no_sharing(fleet, gpus)


@rule("VIS-010", SHOULD, sources=["jina-ai/serve#5354", "bentoml/BentoML#4022"], devices=4)
def test_spaces_and_a_comma_too_many_give_no_more_devices(launch: Launch, gpus: Gpus) -> None:
    """Masks such as " 2, 3" and "2,3," are read as CUDA reads them, or refused in words; they never give more.

    People type them into job scripts. A reader of one's own that takes what it cannot parse for "not set" takes every
    GPU; one that hands "2" and " 3" to its workers should have handed UUIDs.
    """
    gpus.need(4)
    for fleet in [launch(visible=visible, total=2) for visible in (" 2, 3", "2,3,")]:
        assert_within(fleet, gpus)
        if fleet.ready:
            assert_as_driver(fleet, gpus, 2)
        else:
            assert_refused(fleet)
            assert_not_a_bare_error(fleet)


@rule(
    "VIS-011", MUST, sources=["huggingface/text-generation-inference#373", "huggingface/text-generation-inference#3346"]
)
def test_words_that_cuda_does_not_know_give_no_devices(launch: Launch, gpus: Gpus) -> None:
    """CUDA_VISIBLE_DEVICES=all, none, void or NoDevFiles gives what CUDA shows under it: no device.

    "all" and "void" belong to NVIDIA_VISIBLE_DEVICES, which the container runtime reads. To have every GPU, leave the
    mask unset.
    """
    assert_each(
        [launch(visible=word, groups=1) for word in WORDS],
        lambda fleet: assert_within(fleet, gpus),
    )


@rule("VIS-012", MUST, sources=["allenai/olmo-eval#244", "uber/neuropod#337", "vllm-project/vllm#25113"], devices=4)
def test_no_process_is_given_more_than_its_parent_has(launch: Launch, gpus: Gpus) -> None:
    """Every process of the server is shown a subset of the devices that its parent is shown.

    A mask replaces its parent's, it does not stack: whoever has 4,5,6,7 and writes 1 for "my second" writes physical
    1. Write the parent's own entries, or UUIDs.
    """
    given = gpus.last_half(at_least=2)
    fleet = launch(visible=mask(given, gpus), total=len(given))
    assert_masks_only_narrow(fleet, gpus)
