"""The lines of -q and the elements of -q -x, as a table.

A line holds, indented by its depth: the label that -q prints, the element of -q -x, what is shown, and where the line
occurs. What is shown is a field of --query-gpu, a reader of report.py (`@name`), or a text (`=text`); nothing makes a
heading. Where: `text` or `xml` only, `<560` or `>=560` for the driver's branch, a word of report.CONDITIONS, or one
with a `!` before it for the contrary. `-` is a label or an element that does not exist.

The shapes are those that drivers 515, 535, 580 and 590 to 595 printed; between two of them that of the older is taken.
"""

from __future__ import annotations

# ruff: noqa: E501 - a line of the table is a line of the report

GPU = """
Product Name | product_name | name
Product Brand | product_brand | @brand
Product Architecture | product_architecture | @architecture
Display Mode | display_mode | display_mode
Display Attached | display_attached | display_attached | >=560
Display Active | display_active | display_active
Persistence Mode | persistence_mode | persistence_mode
Addressing Mode | addressing_mode | addressing_mode | >=530
MIG Mode | mig_mode
    Current | current_mig | mig.mode.current
    Pending | pending_mig | mig.mode.pending
- | mig_devices | *slices
Accounting Mode | accounting_mode | accounting.mode
Accounting Mode Buffer Size | accounting_mode_buffer_size | accounting.buffer_size
Driver Model | driver_model
    Current | current_dm | driver_model.current
    Pending | pending_dm | driver_model.pending
Serial Number | serial | serial
GPU UUID | uuid | uuid
GPU PDI | pdi | @pdi | >=560
Minor Number | minor_number | @minor
VBIOS Version | vbios_version | vbios_version
MultiGPU Board | multigpu_board | @several
Board ID | board_id | @board
Board Part Number | board_part_number | @board_part | >=530
GPU Part Number | gpu_part_number | @gpu_part | >=530
GPU Part Number | gpu_part_number | @board_part | <530
FRU Part Number | gpu_fru_part_number | =N/A | >=530
Module ID | gpu_module_id | @module | >=530 <560
Module ID | gpu_module_id | =0 | <530
Platform Info | platformInfo | | >=560
    Chassis Serial Number | chassis_serial_number | =N/A
    Slot Number | slot_number | =N/A
    Tray Index | tray_index | =N/A
    Host ID | host_id | =N/A
    Peer Type | peer_type | =N/A
    Module Id | module_id | @module
    GPU Fabric GUID | gpu_fabric_guid | =N/A
Inforom Version | inforom_version
    Image Version | img_version | inforom.img
    OEM Object | oem_object | inforom.oem
    ECC Object | ecc_object | inforom.ecc
    Power Management Object | pwr_object | inforom.pwr
Inforom BBX Object Flush | inforom_bbx_flush | | >=560
    Latest Timestamp | latest_timestamp | =N/A
    Latest Duration | latest_duration | =N/A
GPU Operation Mode | gpu_operation_mode
    Current | current_gom | gom.current
    Pending | pending_gom | gom.pending
GPU C2C Mode | c2c_mode | c2c.mode | >=560
GSP Firmware Version | gsp_firmware_version | @firmware | <560
GPU Virtualization Mode | gpu_virtualization_mode
    Virtualization Mode | virtualization_mode | @virtualization
    Host VGPU Mode | host_vgpu_mode | =N/A
    vGPU Heterogeneous Mode | vgpu_heterogeneous_mode | =N/A | >=560
GPU Reset Status | gpu_reset_status | | >=530 <560
    Reset Required | reset_required | =No
    Drain and Reset Recommended | drain_and_reset_recommended | =No
GPU Recovery Action | gpu_recovery_action | gpu_recovery_action | >=560
GSP Firmware Version | gsp_firmware_version | @firmware | >=560
IBMNPU | ibmnpu
    Relaxed Ordering Mode | relaxed_ordering_mode | =N/A
PCI | pci
    Bus | pci_bus | pci.bus
    Device | pci_device | pci.device
    Domain | pci_domain | pci.domain
    Base Classcode | pci_base_class | pci.baseClass | >=560
    Sub Classcode | pci_sub_class | pci.subClass | >=560
    Device Id | pci_device_id | pci.device_id
    Bus Id | pci_bus_id | pci.bus_id
    Sub System Id | pci_sub_system_id | pci.sub_device_id
    GPU Link Info | pci_gpu_link_info
        PCIe Generation | pcie_gen
            Max | max_link_gen | pcie.link.gen.max
            Current | current_link_gen | pcie.link.gen.current
            Device Current | device_current_link_gen | pcie.link.gen.gpucurrent | >=530
            Device Max | max_device_link_gen | pcie.link.gen.gpumax | >=530
            Host Max | max_host_link_gen | pcie.link.gen.hostmax | >=530
        Link Width | link_widths
            Max | max_link_width | @width
            Current | current_link_width | @width
    Bridge Chip | pci_bridge_chip
        Type | bridge_chip_type | =N/A
        Firmware | bridge_chip_fw | =N/A
    Replays Since Reset | replay_counter | @replays
    Replay Number Rollovers | replay_rollover_counter | =0
    Tx Throughput | tx_util | @sent
    Rx Throughput | rx_util | @received
    Atomic Caps Inbound | atomic_caps_inbound | =N/A | >=530 <560
    Atomic Caps Outbound | atomic_caps_outbound | =N/A | >=530
    Atomic Caps Inbound | atomic_caps_inbound | =N/A | >=560
Fan Speed | fan_speed | fan.speed
Performance State | performance_state | pstate
Clocks Throttle Reasons | clocks_throttle_reasons | | <530
    Idle | clocks_throttle_reason_gpu_idle | clocks_event_reasons.gpu_idle
    Applications Clocks Setting | clocks_throttle_reason_applications_clocks_setting | clocks_event_reasons.applications_clocks_setting
    SW Power Cap | clocks_throttle_reason_sw_power_cap | clocks_event_reasons.sw_power_cap
    HW Slowdown | clocks_throttle_reason_hw_slowdown | clocks_event_reasons.hw_slowdown
        HW Thermal Slowdown | clocks_throttle_reason_hw_thermal_slowdown | clocks_event_reasons.hw_thermal_slowdown
        HW Power Brake Slowdown | clocks_throttle_reason_hw_power_brake_slowdown | clocks_event_reasons.hw_power_brake_slowdown
    Sync Boost | clocks_throttle_reason_sync_boost | clocks_event_reasons.sync_boost
    SW Thermal Slowdown | clocks_throttle_reason_sw_thermal_slowdown | clocks_event_reasons.sw_thermal_slowdown
    Display Clock Setting | clocks_throttle_reason_display_clocks_setting | @display_clocks
Clocks Event Reasons | clocks_event_reasons | | >=530
    Idle | clocks_event_reason_gpu_idle | clocks_event_reasons.gpu_idle
    Applications Clocks Setting | clocks_event_reason_applications_clocks_setting | clocks_event_reasons.applications_clocks_setting
    SW Power Cap | clocks_event_reason_sw_power_cap | clocks_event_reasons.sw_power_cap
    HW Slowdown | clocks_event_reason_hw_slowdown | clocks_event_reasons.hw_slowdown
        HW Thermal Slowdown | clocks_event_reason_hw_thermal_slowdown | clocks_event_reasons.hw_thermal_slowdown
        HW Power Brake Slowdown | clocks_event_reason_hw_power_brake_slowdown | clocks_event_reasons.hw_power_brake_slowdown
    Sync Boost | clocks_event_reason_sync_boost | clocks_event_reasons.sync_boost
    SW Thermal Slowdown | clocks_event_reason_sw_thermal_slowdown | clocks_event_reasons.sw_thermal_slowdown
    Display Clock Setting | clocks_event_reason_display_clocks_setting | @display_clocks
Clocks Event Reasons Counters | clocks_event_reasons_counters | | >=560
    SW Power Capping | clocks_event_reasons_counters_sw_power_cap | clocks_event_reasons_counters.sw_power_cap
    Sync Boost | clocks_event_reasons_counters_sync_boost | clocks_event_reasons_counters.sync_boost
    SW Thermal Slowdown | clocks_event_reasons_counters_sw_therm_slowdown | clocks_event_reasons_counters.sw_thermal_slowdown
    HW Thermal Slowdown | clocks_event_reasons_counters_hw_therm_slowdown | clocks_event_reasons_counters.hw_thermal_slowdown
    HW Power Braking | clocks_event_reasons_counters_hw_power_brake | clocks_event_reasons_counters.hw_power_brake_slowdown
Sparse Operation Mode | sparse_operation_mode | @sparse | >=560
FB Memory Usage | fb_memory_usage
    Total | total | memory.total
    Reserved | reserved | memory.reserved
    Used | used | memory.used
    Free | free | memory.free
BAR1 Memory Usage | bar1_memory_usage
    Total | total | @bar1_total
    Used | used | @bar1_used
    Free | free | @bar1_free
Conf Compute Protected Memory Usage | cc_protected_memory_usage | | >=530
    Total | total | protected_memory.total
    Used | used | protected_memory.used
    Free | free | protected_memory.free
Compute Mode | compute_mode | compute_mode
Utilization | utilization
    GPU | gpu_util | utilization.gpu
    Memory | memory_util | utilization.memory
    Encoder | encoder_util | utilization.encoder
    Decoder | decoder_util | utilization.decoder
    JPEG | jpeg_util | utilization.jpeg | >=530
    OFA | ofa_util | utilization.ofa | >=530
Encoder Stats | encoder_stats
    Active Sessions | session_count | encoder.stats.sessionCount
    Average FPS | average_fps | encoder.stats.averageFps
    Average Latency | average_latency | encoder.stats.averageLatency
FBC Stats | fbc_stats
    Active Sessions | session_count | encoder.stats.sessionCount
    Average FPS | average_fps | encoder.stats.averageFps
    Average Latency | average_latency | encoder.stats.averageLatency
DRAM Encryption Mode | dram_encryption_mode | | >=560
    Current | current_dram_encryption | dramEncryption.mode.current
    Pending | pending_dram_encryption | dramEncryption.mode.pending
ECC Mode | ecc_mode
    Current | current_ecc | ecc.mode.current
    Pending | pending_ecc | ecc.mode.pending
ECC Errors | ecc_errors
    Volatile | volatile
        SRAM Correctable | sram_correctable | ecc.errors.corrected.volatile.sram
        SRAM Uncorrectable | sram_uncorrectable | ecc.errors.uncorrected.volatile.sram | !detailed
        SRAM Uncorrectable Parity | sram_uncorrectable_parity | ecc.errors.uncorrected.volatile.sram.parity | detailed
        SRAM Uncorrectable SEC-DED | sram_uncorrectable_secded | ecc.errors.uncorrected.volatile.sram.secded | detailed
        DRAM Correctable | dram_correctable | ecc.errors.corrected.volatile.dram
        DRAM Uncorrectable | dram_uncorrectable | ecc.errors.uncorrected.volatile.dram
    Aggregate | aggregate
        SRAM Correctable | sram_correctable | ecc.errors.corrected.aggregate.sram
        SRAM Uncorrectable | sram_uncorrectable | ecc.errors.uncorrected.aggregate.sram | !detailed
        SRAM Uncorrectable Parity | sram_uncorrectable_parity | ecc.errors.uncorrected.aggregate.sram.parity | detailed
        SRAM Uncorrectable SEC-DED | sram_uncorrectable_secded | ecc.errors.uncorrected.aggregate.sram.secded | detailed
        DRAM Correctable | dram_correctable | ecc.errors.corrected.aggregate.dram
        DRAM Uncorrectable | dram_uncorrectable | ecc.errors.uncorrected.aggregate.dram
        SRAM Threshold Exceeded | sram_threshold_exceeded | ecc.errors.uncorrected.aggregate.sram.thresholdExceeded | detailed
    Aggregate Uncorrectable SRAM Sources | aggregate_uncorrectable_sram_sources | | detailed
        SRAM L2 | sram_l2 | ecc.errors.uncorrected.aggregate.sram.l2
        SRAM SM | sram_sm | ecc.errors.uncorrected.aggregate.sram.sm
        SRAM Microcontroller | sram_microcontroller | ecc.errors.uncorrected.aggregate.sram.mcu
        SRAM PCIE | sram_pcie | ecc.errors.uncorrected.aggregate.sram.pcie
        SRAM Other | sram_other | ecc.errors.uncorrected.aggregate.sram.other
    Channel Repair Pending | channel_repair_pending | @channel_repair | detailed
    TPC Repair Pending | tpc_repair_pending | @tpc_repair | detailed
    Unrepairable Memory | unrepairable_memory | @unrepairable | detailed
Retired Pages | retired_pages
    Single Bit ECC | - | retired_pages.single_bit_ecc.count | text
    Double Bit ECC | - | retired_pages.double_bit.count | text
    Pending Page Blacklist | - | retired_pages.pending | text
    - | multiple_single_bit_retirement | | xml
        - | retired_count | retired_pages.single_bit_ecc.count
        - | retired_pagelist | @retired_list
    - | double_bit_retirement | | xml
        - | retired_count | retired_pages.double_bit.count
        - | retired_pagelist | @retired_list
    - | pending_blacklist | retired_pages.pending | xml
    - | pending_retirement | retired_pages.pending | xml
Remapped Rows | remapped_rows | =N/A | !remaps
Remapped Rows | remapped_rows | | remaps
    Correctable Error | remapped_row_corr | remapped_rows.correctable
    Inactive Correctable Error | - | remapped_rows.correctable_inactive | text >=595
    Uncorrectable Error | remapped_row_unc | remapped_rows.uncorrectable
    Inactive Uncorrectable Error | - | remapped_rows.uncorrectable_inactive | text >=595
    Pending | remapped_row_pending | remapped_rows.pending
    Remapping Failure Occurred | remapped_row_failure | remapped_rows.failure
    Bank Remap Availability Histogram | row_remapper_histogram
        Max | row_remapper_histogram_max | @banks_max
        High | row_remapper_histogram_high | @banks_high
        Partial | row_remapper_histogram_partial | @banks_partial
        Low | row_remapper_histogram_low | @banks_low
        None | row_remapper_histogram_none | @banks_none
Temperature | temperature
    GPU Current Temp | gpu_temp | @temperature
    GPU T.Limit Temp | gpu_temp_tlimit | @below_limit | >=530
    GPU Shutdown Temp | gpu_temp_max_threshold | @shutdown | !limited
    GPU Slowdown Temp | gpu_temp_slow_threshold | @slowdown | !limited
    GPU Max Operating Temp | gpu_temp_max_gpu_threshold | @highest | !limited
    GPU Shutdown T.Limit Temp | gpu_temp_max_tlimit_threshold | @shutdown_limit | limited
    GPU Slowdown T.Limit Temp | gpu_temp_slow_tlimit_threshold | @slowdown_limit | limited
    GPU Max Operating T.Limit Temp | gpu_temp_max_gpu_tlimit_threshold | @highest_limit | limited
    GPU Target Temperature | gpu_target_temperature | @target
    Memory Current Temp | memory_temp | @memory_temperature
    Memory Max Operating Temp | gpu_temp_max_mem_threshold | @highest_memory | !limited
    Memory Max Operating T.Limit Temp | gpu_temp_max_mem_tlimit_threshold | @memory_limit | limited
- | supported_gpu_target_temp | | xml
    - | gpu_target_temp_min | @lowest_target
    - | gpu_target_temp_max | @highest_target
Power Readings | power_readings | | <530
    Power State | power_state | pstate | xml
    Power Management | power_management | =Supported
    Power Draw | power_draw | power.draw
    Power Limit | power_limit | power.limit
    Default Power Limit | default_power_limit | power.default_limit
    Enforced Power Limit | enforced_power_limit | enforced.power.limit
    Min Power Limit | min_power_limit | power.min_limit
    Max Power Limit | max_power_limit | power.max_limit
GPU Power Readings | gpu_power_readings | | >=530
    - | power_state | @power_state | xml
    Power Draw | power_draw | power.draw | <560
    Average Power Draw | average_power_draw | power.draw.average | >=560
    Instantaneous Power Draw | instant_power_draw | power.draw.instant | >=560
    Current Power Limit | current_power_limit | enforced.power.limit
    Requested Power Limit | requested_power_limit | power.limit
    Default Power Limit | default_power_limit | power.default_limit
    Min Power Limit | min_power_limit | power.min_limit
    Max Power Limit | max_power_limit | power.max_limit
GPU Memory Power Readings  | gpu_memory_power_readings | | >=560
    Average Power Draw | average_power_draw | @memory_power
    Instantaneous Power Draw | instant_power_draw | =N/A
Module Power Readings | module_power_readings | | >=530
    - | power_state | @power_state | xml
    Power Draw | power_draw | =N/A | <560
    Average Power Draw | average_power_draw | module.power.draw.average | >=560
    Instantaneous Power Draw | instant_power_draw | module.power.draw.instant | >=560
    Current Power Limit | current_power_limit | module.enforced.power.limit
    Requested Power Limit | requested_power_limit | module.power.limit
    Default Power Limit | default_power_limit | module.power.default_limit
    Min Power Limit | min_power_limit | module.power.min_limit
    Max Power Limit | max_power_limit | module.power.max_limit
Power Smoothing | power_smoothing | =N/A | >=560
Workload Power Profiles | power_profiles | | >=560
    Requested Profiles | power_profile_requested_profiles | =N/A
    Enforced Profiles | power_profile_enforced_profiles | =N/A
EDPp Multiplier | edpp_multiplier | @edpp | >=560
Clocks | clocks
    Graphics | graphics_clock | clocks.current.graphics
    SM | sm_clock | clocks.current.sm
    Memory | mem_clock | clocks.current.memory
    Video | video_clock | clocks.current.video
Applications Clocks | applications_clocks
    Graphics | graphics_clock | clocks.applications.graphics
    Memory | mem_clock | clocks.applications.memory
Default Applications Clocks | default_applications_clocks
    Graphics | graphics_clock | clocks.default_applications.graphics
    Memory | mem_clock | clocks.default_applications.memory
Deferred Clocks | deferred_clocks | | >=530
    Memory | mem_clock | =N/A
Max Clocks | max_clocks
    Graphics | graphics_clock | clocks.max.graphics
    SM | sm_clock | clocks.max.sm
    Memory | mem_clock | clocks.max.memory
    Video | video_clock | @max_video
Max Customer Boost Clocks | max_customer_boost_clocks
    Graphics | graphics_clock | @customer_boost
Clock Policy | clock_policy
    Auto Boost | auto_boost | =N/A
    Auto Boost Default | auto_boost_default | =N/A
Voltage | voltage | | <560
    Graphics | graphics_volt | =N/A
Fabric | fabric | | >=530
    State | state | fabric.state
    Status | status | fabric.status
    CliqueId | cliqueId | fabric.cliqueId | >=560
    ClusterUUID | clusterUuid | fabric.clusterUuid | >=560
    Health | health | | >=560
        Summary | summary | fabric.health.summary
        Bandwidth | bandwidth | fabric.health.bandwidth
        Route Recovery in progress | route_recovery_in_progress | fabric.health.route_recovery_in_progress
        Route Unhealthy | route_unhealthy | fabric.health.route_unhealthy
        Access Timeout Recovery | access_timeout_recovery | fabric.health.access_timeout_recovery
        Incorrect Configuration | incorrect_configuration | fabric.health.incorrect_configuration
        Partition Assigned | partition_assigned | fabric.health.partition_assigned | >=595
- | supported_clocks | *supported_clocks | xml
- | supported_clocks | *supported_clocks | text shown
- | processes | *processes
- | accounted_processes | *none | xml
Capabilities | capabilities | | >=560
    EGM | egm | =disabled
"""

SLICE = """
Index | index | @index
GPU Instance ID | gpu_instance_id | @gpu_instance
Compute Instance ID | compute_instance_id | @compute_instance
Device Attributes | device_attributes
    Shared | shared
        Multiprocessor count | multiprocessor_count | @multiprocessors
        Copy Engine count | copy_engine_count | @copy_engines
        Encoder count | encoder_count | @encoders
        Decoder count | decoder_count | @decoders
        OFA count | ofa_count | @ofa
        JPG count | jpg_count | @jpeg
ECC Errors | ecc_error_count
    Volatile | volatile_count
        SRAM Uncorrectable | sram_uncorrectable | =0
Shared FB Memory Usage | fb_memory_usage
    Total | total | @total
    Reserved | reserved | @reserved
    Used | used | @used
    Free | free | @free
Shared BAR1 Memory | bar1_memory_usage
    Total | total | @bar1_total
    Used | used | @bar1_used
    Free | free | @bar1_free
"""
