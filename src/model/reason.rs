//! Stable reason codes: one table from which exit status, retry, log level and the docs follow.

/// What a caller does about a failure. The class alone decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// There is nothing to do. Exit 3.
    Nothing,
    /// The words typed make no sense. Exit 64.
    Usage,
    /// The artifact is refused, and will be refused again. Exit 65.
    Reject,
    /// A file that was named is not there. Exit 66.
    NoInput,
    /// The source cannot be reached now. Exit 69.
    Retry,
    /// A defect of the program. Exit 70.
    Bug,
    /// The device's storage failed or is full. Exit 74.
    Device,
    /// Another update holds the lock. Exit 75.
    Busy,
    /// Not allowed in this state. Exit 77.
    Denied,
    /// The device's configuration must change first. Exit 78.
    Config,
}

impl Class {
    /// The process exit status (docs/exit-codes.md).
    pub fn exit_status(self) -> u8 {
        match self {
            Class::Nothing => 3,
            Class::Usage => 64,
            Class::Reject => 65,
            Class::NoInput => 66,
            Class::Retry => 69,
            Class::Bug => 70,
            Class::Device => 74,
            Class::Busy => 75,
            Class::Denied => 77,
            Class::Config => 78,
        }
    }
}

impl Class {
    /// What the device does, one sentence.
    pub fn device_does(self) -> &'static str {
        match self {
            Class::Nothing => "The device stays as it is.",
            Class::Usage => "The device did nothing.",
            Class::Reject => {
                "The device stays as it is and refuses the same file again; the next good one installs."
            }
            Class::NoInput => "The device did nothing.",
            Class::Retry => {
                "The device keeps what it has of the file and goes on from there when it is offered again."
            }
            Class::Bug => {
                "The device stops as at a power cut, and the next start goes on from what stands."
            }
            Class::Device => {
                "The device keeps the system that runs and says so; a new system that meets this in its trial goes back."
            }
            Class::Busy => {
                "The device goes on with what it does; who came later is asked to come again."
            }
            Class::Denied => "The device stays in the state that it is in, and shows why.",
            Class::Config => {
                "The device keeps the system that runs and begins nothing until this is mended."
            }
        }
    }
}

macro_rules! reasons {
    ($($name:ident $text:literal $class:ident $meaning:literal $next:expr;)*) => {
        /// Why something ended as it did. The text of a code never changes once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ReasonCode {
            $(#[doc = $meaning] $name,)*
        }

        impl ReasonCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$name),*];

            /// The stable text: `SIGNATURE_INVALID`.
            pub fn as_str(self) -> &'static str {
                match self { $(ReasonCode::$name => $text,)* }
            }

            /// What a caller does about it.
            pub fn class(self) -> Class {
                match self { $(ReasonCode::$name => Class::$class,)* }
            }

            /// What it means, one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(ReasonCode::$name => $meaning,)* }
            }

            /// What a person does next, one sentence.
            pub fn next_step(self) -> &'static str {
                match self { $(ReasonCode::$name => $next,)* }
            }
        }
    };
}

reasons! {
    // What an artifact can be refused for.
    Truncated "TRUNCATED" Reject "The artifact ends before its last byte." "Copy or download it again, then compare its size.";
    NotAnArtifact "NOT_AN_ARTIFACT" Reject "The file is not a Surefoot artifact." "Use a file made by `surefoot-forge build`.";
    UpdaterTooOld "UPDATER_TOO_OLD" Reject "The artifact needs a newer updater." "Install a release first that this updater can read and that brings a newer one.";
    HeaderInvalid "HEADER_INVALID" Reject "The artifact's header breaks the format." "Build or download the artifact again.";
    SignatureMissing "SIGNATURE_MISSING" Reject "The artifact is not signed." "Use a signed artifact. Its builder signs it: `surefoot-forge sign FILE --key KEY`.";
    SignatureInvalid "SIGNATURE_INVALID" Reject "A signature does not match the artifact." "Copy or download it again; if that does not help, ask its builder.";
    SignatureUntrusted "SIGNATURE_UNTRUSTED" Reject "No key that this device trusts has signed the artifact." "Use an artifact for this device. Its builder signs it with a release key of this device's trust file.";
    SignatureThreshold "SIGNATURE_THRESHOLD" Reject "Fewer trusted keys have signed than the trust file demands." "Use an artifact with all signatures. Its builder adds them: `surefoot-forge sign FILE --key KEY`.";
    KeyRevoked "KEY_REVOKED" Reject "A signing key has been revoked." "Use a newer artifact. Its builder signs it with a key in force.";
    KeyScope "KEY_SCOPE" Reject "A signing key may not sign for this product or kind of payload." "Use an artifact for this product. Its builder signs it with a key whose scope covers it.";
    KeyRole "KEY_ROLE" Reject "A key of another role has signed the artifact." "Use another artifact. Its builder signs it with a release key.";
    TestKey "TEST_KEY" Reject "A key published for tests is not accepted by this build." "Make keys of your own: `surefoot-forge keygen --out KEYS`.";
    ManifestInvalid "MANIFEST_INVALID" Reject "The manifest breaks the format." "Build the artifact again with a current surefoot-forge.";
    TableInvalid "TABLE_INVALID" Reject "The chunk table contradicts the manifest or itself." "Build the artifact again with a current surefoot-forge.";
    ChunkCorrupt "CHUNK_CORRUPT" Reject "Payload bytes do not match their signed hash." "Copy or download the artifact again.";
    DeltaInvalid "DELTA_INVALID" Reject "The delta breaks the format, or does not make the release that it names." "Make the delta again with a current surefoot-forge, or install the full artifact.";
    DeltaBase "DELTA_BASE" Reject "The delta is made from another release than the one that runs, or what runs has changed since it was installed." "Install the full artifact, or a delta from the version that runs.";
    FileDamaged "FILE_DAMAGED" Reject "The medium's file system does not hold the file as it says." "Copy the file to the medium again, and eject it before you take it out.";
    TrailingBytes "TRAILING_BYTES" Reject "There are bytes after the artifact's end." "Copy or download the artifact again.";
    WrongProduct "WRONG_PRODUCT" Reject "The artifact is for another product." "Use an artifact for the product that `surefoot status --json` names.";
    Incompatible "INCOMPATIBLE" Reject "The artifact is not compatible with this device." "Use an artifact for the `compatible` that `surefoot status --json` names.";
    NoPayload "NO_PAYLOAD" Reject "The artifact carries nothing for this hardware revision." "Use an artifact for this hardware revision.";
    VersionOlder "VERSION_OLDER" Reject "The release is older than the running one." "To install it all the same: `surefoot install FILE --allow-older`.";
    BelowFloor "BELOW_FLOOR" Reject "The release is below the security epoch's floor." "Use a newer release; nothing on this device overrides the floor.";
    RolledBackBefore "ROLLED_BACK_BEFORE" Reject "This release was tried and rolled back." "Install another release. To try the same one again, run the same command with `--retry-rolled-back`.";
    NotBootable "NOT_BOOTABLE" Reject "The image begins with no file system that a bootloader could read." "Build the artifact from an ext4, squashfs or erofs image: `surefoot-forge build --rootfs IMAGE`.";
    PartMissing "PART_MISSING" Reject "The artifact brings no image for one of the slot's parts." "Build it with all parts that `[slots]` names: `surefoot-forge build --rootfs IMG --part boot=IMG`.";
    PartUnknown "PART_UNKNOWN" Reject "The artifact brings an image for a part that this device's slots do not have." "Build it with the parts that `[slots]` names and no others, or give it to devices that have this part.";
    TooBig "TOO_BIG" Reject "A payload does not fit its partition of the slot." "Build the artifact with a smaller image of this part. The first part of a slot may have its partition less 1 MiB, any other one its whole partition.";
    NotAnImage "NOT_AN_IMAGE" Reject "A file given as the image of a part is no image of a file system." "Give the image of a filesystem, or say `--raw` to pack the bytes as they are.";
    RecipeInvalid "RECIPE_INVALID" Reject "No disk can be made as the recipe or a flag of `surefoot-forge image` says." "Change what the message names: the line of the recipe, or the flag. docs/image.md explains every key.";
    NotAChannel "NOT_A_CHANNEL" Reject "The file is not a Surefoot channel." "Check the address: `[source] channel` names a file that `surefoot-forge channel publish` has made. A network that wants a login answers like this too.";
    ChannelInvalid "CHANNEL_INVALID" Reject "The channel breaks the format." "Publish it again with a current surefoot-forge.";
    ChannelOlder "CHANNEL_OLDER" Reject "The channel is older than the one that this device knows." "Nothing to do on the device: it keeps the newer one. Publish the channel again from the folder whose serial is the highest.";
    ChannelChanged "CHANNEL_CHANGED" Reject "Two different channels have one serial." "Publish the channel again: a new serial tells them apart. Never publish one channel from two folders.";
    OtherRelease "OTHER_RELEASE" Reject "Another release lies where one was offered." "Publish the channel and its artifacts again: `surefoot-forge channel publish DIR`, and serve all of DIR.";
    NotYet "NOT_YET" Nothing "A release waits for its time on this device." "Nothing to do: the daemon installs it when its time comes. To have it now: `surefoot install URL`.";
    NothingOffered "NOTHING_OFFERED" Nothing "The channel has no newer release for this device." "Nothing to do.";
    AlreadyInstalled "ALREADY_INSTALLED" Nothing "This release is already running." "Nothing to do; `--reinstall` writes it again.";
    ChannelStale "CHANNEL_STALE" Retry "The channel was not published again in its time." "What it offers still counts. Publish it again: `surefoot-forge channel publish DIR`.";
    NoChannel "NO_CHANNEL" Config "No channel is configured." "Set `[source] channel` to the address of a channel.";
    NoDeviceId "NO_DEVICE_ID" Config "This device has no id, so that it has no place in a rollout." "Set `[device] id` or `id_file`, or see to it that /etc/machine-id is written. Files and URLs still install.";
    // Disks that are made on a host.
    ForeignDisk "FOREIGN_DISK" Reject "The disk was not made by Surefoot." "Give a disk with `boot`, `rootfs-a` and `rootfs-b` and the boot script of Surefoot on it. Nothing was written.";
    ProvisionInvalid "PROVISION_INVALID" Reject "What a device is to take at its first start breaks a rule." "Correct what the message names: `surefoot-forge configure --help`.";
    BootScript "BOOT_SCRIPT" Config "The boot script on the boot partition is missing, damaged or another one." "Put the boot.scr of this release on the boot partition: `uboot-scripts/make boot.scr`.";
    ImageDamaged "IMAGE_DAMAGED" Reject "A disk image is not what it was made as, or is none." "Make or download the image again, with its .bmap.";
    DiskTooSmall "DISK_TOO_SMALL" Reject "A disk image does not fit the disk." "Use a larger disk, or make the image smaller.";
    NotConfirmed "NOT_CONFIRMED" Denied "That a disk may be erased was not confirmed." "Check that it is the right disk; type what is asked for, or say it with `--yes` or `--yes-really NAME`.";
    DiskInUse "DISK_IN_USE" Denied "A disk, or a part of it, is in use." "Unmount what is mounted of it with `umount`, end what else uses it, and check that it is the right disk.";
    NotForProduction "NOT_FOR_PRODUCTION" Config "Something is on the device that belongs on a developer's bench." "Take it out of the image as the message says, and build the image again.";
    // Apps.
    AppInvalid "APP_INVALID" Reject "The document of an app breaks the format." "Build the bundle again with a current surefoot-forge.";
    ComposeInvalid "COMPOSE_INVALID" Reject "The Compose file says something that a bundle cannot carry." "Change the line that the message names: docs/apps.md lists what a Compose file may say.";
    ContainerImage "CONTAINER_IMAGE" Reject "A container image is missing, damaged or not what it says." "Save the image again, as an OCI archive or as `docker save` writes it.";
    LayerHostile "LAYER_HOSTILE" Reject "A layer of a container image has an entry that no honest image has." "Build the image again from sources that you trust; the message names the entry.";
    WrongArchitecture "WRONG_ARCHITECTURE" Reject "A container image is for another processor." "Build the image for the architecture that the message names.";
    DependencyCycle "DEPENDENCY_CYCLE" Reject "Services or bundles wait for each other in a circle." "Take one of the dependencies out that the message names.";
    NotPermitted "NOT_PERMITTED" Denied "An app wants something of the device that its settings do not grant." "Grant it in `[apps]` of the device's settings, if you mean it, or take it out of the bundle.";
    AppConflict "APP_CONFLICT" Denied "An app and another one, or the system, cannot be here together." "Remove the app that the message names, or change what one of them claims.";
    PortTaken "PORT_TAKEN" Denied "A port of the device is taken already." "Change the port in the Compose file, or end what has it.";
    AppRequires "APP_REQUIRES" Denied "An app requires something that is not here." "Install first what the message names.";
    ResourcesMissing "RESOURCES_MISSING" Denied "The device has less memory or fewer processors than the apps reserve." "Lower the reservations in the Compose file, or remove another app.";
    VariableMissing "VARIABLE_MISSING" Config "An app needs a variable, a secret or an endpoint that this device does not have." "Set what the message names in `[apps]`, or put the file into the folder of secrets.";
    SettingRefused "SETTING_REFUSED" Usage "An app's configuration has no such value." "`surefoot apps status NAME` lists what can be set.";
    NoSuchApp "NO_SUCH_APP" NoInput "There is no such app on this device." "`surefoot apps status` lists the apps.";
    AppLocked "APP_LOCKED" Busy "An app holds its lock, so that it is not stopped now." "Wait until it lets go, or say `--force`.";
    NotHeld "NOT_HELD" Denied "A development key signed the app, and the device is not under hold." "Say `surefoot hold` on the device first, or sign with a release key.";
    EngineMissing "ENGINE_MISSING" Config "No container engine answers." "Start it, and name its socket in `[apps] engine`.";
    EngineFailed "ENGINE_FAILED" Retry "The container engine did not do what it was asked for." "The message has its words; its log has more.";
    EngineAnswer "ENGINE_ANSWER" Device "The container engine gave an answer that breaks its protocol, or another image than it was given." "Update or reinstall the engine; the apps that run stay.";
    LayerDamaged "LAYER_DAMAGED" Device "The container engine's store does not hold a layer as it was given." "Install the bundle again: `surefoot apps install FILE` brings damaged layers back.";
    ServiceEnded "SERVICE_ENDED" Denied "A service of the app ended, or could not be started." "`surefoot apps logs NAME SERVICE` has what it printed.";
    ServiceUnhealthy "SERVICE_UNHEALTHY" Denied "A service of the app is not well." "`surefoot apps logs NAME SERVICE` has what it printed; the message what its health check said.";
    ServiceLate "SERVICE_LATE" Denied "A service of the app did not come as far as it should in its time." "Give it more time with `x-surefoot: { deadline: … }`, or see `surefoot apps logs NAME SERVICE`.";
    SchemaOneWay "SCHEMA_ONE_WAY" Denied "The data of an app could not be taken back, so that this is not begun." "Make room on the data partition for a copy of the volume that the message names.";
    StoreEpoch "STORE_EPOCH" Denied "The new system keeps container images in another form, and there is no room or no source to fill it again." "Install the apps' bundles again as files that are kept: `[apps] keep_files = true`.";
    // Trust and keys.
    TrustMissing "TRUST_MISSING" Config "There is no trust file, or it is empty." "Put the trust file where `[trust] file` points.";
    TrustInvalid "TRUST_INVALID" Config "The trust file breaks its rules." "Restore the trust file made by `surefoot-forge keygen`.";
    KeyUnusable "KEY_UNUSABLE" Config "A key cannot be used." "Check the key's file, its permissions (0600) and its role.";
    // The state in which something was asked.
    TrialPending "TRIAL_PENDING" Denied "A new system is on trial." "Decide it first: `surefoot commit` or `surefoot rollback`.";
    NotAllowed "NOT_ALLOWED" Denied "The user who asked has no right to read or to do this." "Run it as root, with `sudo`; or while the daemon runs, as a member of the group `surefoot-status` to ask, `surefoot-control` to act.";
    DaemonSilent "DAEMON_SILENT" Retry "The daemon did not answer, or not to the end." "See `surefoot status`: what was begun goes on. `systemctl status surefoot` tells of the daemon.";
    NotTrying "NOT_TRYING" Denied "No new system is on trial." "There is nothing to decide: `surefoot status` says where the device stands.";
    NotStaged "NOT_STAGED" Denied "No written release waits to be switched to." "Install one first: `surefoot install FILE --stage`.";
    WrongSlot "WRONG_SLOT" Denied "The running system is not the one on trial, or something else changed which slot boots." "See `surefoot status`: where it asks for a reboot, reboot. Let only surefoot change the slot that boots, and not `fw_setenv`.";
    NothingToRollBack "NOTHING_TO_ROLL_BACK" Denied "The other slot holds no system to return to." "Install a release: `surefoot install FILE`.";
    HealthFailed "HEALTH_FAILED" Denied "The new system failed a health check." "Nothing to repair: the previous system is armed, or runs again. `surefoot status` names every failing check.";
    DeadlinePassed "DEADLINE_PASSED" Denied "The new system was not decided in its time." "Nothing to repair: the previous system is armed, or runs again. `[trial] deadline` and `[health] deadline` set the time.";
    CannotUpdateAgain "CANNOT_UPDATE_AGAIN" Device "The running system could not install the next update." "Nothing to repair: the previous system is armed, or runs again. `surefoot status` says what was missing.";
    CheckCannotRun "CHECK_CANNOT_RUN" Config "A health check can never run on this device, so no release could stay." "Correct the check in the configuration, then run `surefoot doctor`.";
    OrderUnknown "ORDER_UNKNOWN" Denied "Which release runs is not known, so whether another one is older cannot be checked." "Nothing is refused for it, and the stored floor holds. Install the release that should run: from its commit on the order is known.";
    CheckFails "CHECK_FAILS" Denied "A health check fails in the system that runs, and the next system must pass it." "Nothing needs to be done where the release to be installed mends it; else mend it first.";
    TimesConflict "TIMES_CONFLICT" Config "The times in the configuration contradict each other, so no release could stay." "Correct `[health]` and `[trial]`, then run `surefoot config check`.";
    HealthUnknown "HEALTH_UNKNOWN" Denied "A health check could not be run, so nothing was decided." "`surefoot why` names the check: wait, or correct it. In a trial you can decide yourself: `surefoot commit --force --reason TEXT`.";
    RollbackOff "ROLLBACK_OFF" Denied "This board could not come back from a bad update." "Change what the message names; docs/uboot-environment.md says what each variable must be.";
    RollbackWeak "ROLLBACK_WEAK" Denied "A bad update comes back, but something that should stand behind the rollback is missing." "Nothing at once. The message names what is missing; docs/uboot-environment.md says how to add it.";
    ConfirmNeeded "CONFIRM_NEEDED" Busy "An automatic update is written and then waits for a person." "Say `surefoot confirm` once it is staged.";
    Held "HELD" Denied "Automatic updates are stopped on this device." "`surefoot unhold` ends the hold; `surefoot install FILE --hold-ok` installs this one in spite of it.";
    ClockUnset "CLOCK_UNSET" Denied "The clock of this device is not set." "Set it, or leave the time away: a hold without one lasts until `surefoot unhold`.";
    Inhibited "INHIBITED" Busy "Something holds automatic updates back for now." "See `surefoot why`; ask again when it is over.";
    DrillUnsafe "DRILL_UNSAFE" Denied "A drill cannot be made here, or not now." "The message names what is missing: end the update that is under way, install a release, or let the init system feed a watchdog.";
    HookVeto "HOOK_VETO" Denied "A program of the integrator said no." "Its last line says why; `surefoot report` has all that it printed.";
    HookLater "HOOK_LATER" Busy "A program of the integrator asked to wait." "`surefoot why` says which and when it is asked next; or run the same command again later.";
    Timeout "TIMEOUT" Denied "The awaited state was not reached in time." "The device goes on by itself: `surefoot status` says where it stands.";
    Busy "BUSY" Busy "Another update holds the lock." "Wait for it to end, or see `surefoot status`.";
    Cancelled "CANCELLED" Busy "The installation was cancelled, or its channel withdrew the release." "Nothing to do. What was written is kept: `surefoot install` goes on with it, and nothing else begins it again.";
    Superseded "SUPERSEDED" Busy "Another release took its place before it was tried." "Nothing to do.";
    Interrupted "INTERRUPTED" Retry "The updater was told to end while it installed." "Run the same command again; it goes on where it stopped. The daemon does so by itself where it can.";
    // How an update ended.
    CounterDead "COUNTER_DEAD" Device "The boot of a trial was not counted." "Set `surefoot_counter` to what counts boots on this board, `uboot` or `script`: docs/uboot-environment.md.";
    TrialNotStarted "TRIAL_NOT_STARTED" Device "The new system was armed but the boot script never tried it." "Look at the serial console while it boots: the boot script begins each of its lines with `surefoot:`. Without them the board boots by another script: docs/uboot-environment.md.";
    BootFailed "BOOT_FAILED" Device "The new system did not come up in its trial, and the old one runs." "Nothing to repair. `surefoot status` names the cause; send `surefoot report` to the builder of the release.";
    JournalLost "JOURNAL_LOST" Device "The state folder was lost during a trial." "Nothing to repair at once. If it happens again, check the data partition: `fsck`, and the kernel's log with `dmesg`.";
    Requested "REQUESTED" Denied "A person ended it, or installed another release in its place." "Nothing to do.";
    Unknown "UNKNOWN" Denied "A newer updater wrote a reason that this one does not know." "Install a newer release: its `surefoot history` knows the reason.";
    // Disk and slots.
    DiskMissing "DISK_MISSING" Config "The disk cannot be opened." "Check `[device] disk`.";
    DiskTwin "DISK_TWIN" Denied "Two disks of this device carry the same identifiers, and which of them U-Boot has started from is not known." "Take out the one from which the device is not to start, and start it again. To keep both: the boot.scr of this release on both, and aliases mmc0, mmc1 in the device tree. Nothing is written to either until then.";
    ResetPending "RESET_PENDING" Denied "A factory reset was asked for, and the next boot does it." "Reboot, or withdraw it: `surefoot factory-reset --cancel`.";
    GrowthRefused "GROWTH_REFUSED" Config "The disk is not laid out as the first boot expects, so the data partition keeps its size." "Nothing needs to be done where its size is enough. Else make it longer with the tools of the board's factory: docs/first-boot.md.";
    NotFirstBoot "NOT_FIRST_BOOT" Denied "This device has been updated already, and the partition table is written only before the first update." "Nothing to do: the partitions stay as they are.";
    DiskReadOnly "DISK_READ_ONLY" Device "The disk cannot be written: it or its file system is read-only." "See what made it read-only: `dmesg`, `blockdev --getro DISK`, a switch on the card, or a file system mounted read-only over the image.";
    DiskDenied "DISK_DENIED" Config "This process may not open the disk." "Run it as root, or ask the daemon; a unit needs `DeviceAllow=block-* rw` and the path in `ReadWritePaths=`.";
    TableUnreadable "TABLE_UNREADABLE" Device "Neither copy of the partition table can be trusted." "Restore the partition table with `sgdisk`; the running system is untouched.";
    LayoutInvalid "LAYOUT_INVALID" Config "The partitions overlap, leave the disk or carry one name twice." "Correct the partition table or `[slots]`.";
    SlotMissing "SLOT_MISSING" Config "A partition named in `[slots]` does not exist." "Correct `[slots]` or the partition names: `sgdisk -p DISK`.";
    SlotNeeded "SLOT_NEEDED" Denied "The slot may still be needed and is not opened for writing." "Decide the pending update first: `surefoot commit` or `surefoot rollback`; reboot where `surefoot status` asks for it.";
    SlotMounted "SLOT_MOUNTED" Denied "The slot is mounted or in use." "Unmount it with `umount`, or end its use as swap space with `swapoff`.";
    SlotDamaged "SLOT_DAMAGED" Device "The slot does not hold what its manifest says." "Install a release again.";
    ModifiedSinceInstall "MODIFIED_SINCE_INSTALL" Device "The slot was mounted writable since it was installed." "No failure of the device; install again for an exact copy.";
    ReadBack "READ_BACK" Device "The medium returned other bytes than were written." "Replace the medium; the running system is untouched.";
    Io "IO" Device "Reading or writing failed." "Check the file or device that the message names: its permissions, its medium and the kernel's log with `dmesg`.";
    NoSpace "NO_SPACE" Device "There is no space left." "Delete files where the message says, then try again.";
    NoMemory "NO_MEMORY" Device "The system gave the process no more memory or threads." "Raise the limits of the process (`ulimit -v`, `MemoryMax=`, `TasksMax=`) or stop other programs, then run the same command again; it goes on where it stopped.";
    // Bootloader environment.
    EnvConfig "ENV_CONFIG" Config "The description of the bootloader environment is wrong." "Correct fw_env.config as the message says: docs/uboot-environment.md.";
    EnvUnreadable "ENV_UNREADABLE" Config "No copy of the bootloader environment is valid." "Compare fw_env.config with the board. If it is right, write both copies with `mkenvimage`: docs/uboot-environment.md.";
    EnvFull "ENV_FULL" Device "The bootloader environment has no room for what an update writes to it." "Remove variables that nothing needs: `fw_printenv` lists them, `fw_setenv NAME` removes one.";
    EnvReadBack "ENV_READ_BACK" Device "The bootloader environment did not read back as written." "Run the same command again; if it fails again, replace the medium.";
    // Configuration, state, words.
    StateNotDurable "STATE_NOT_DURABLE" Config "The state folder cannot be written, or lies on the root filesystem." "Mount the data partition writable, and point `[device] state` at a folder on it.";
    BootedUnknown "BOOTED_UNKNOWN" Config "Which slot runs is not known for certain." "`surefoot.slot=` on the kernel command line and the device under `/` must name one slot: docs/troubleshooting.md says what to do.";
    HardwareUnknown "HARDWARE_UNKNOWN" Config "The hardware revision cannot be read." "Correct `[device] hardware`.";
    NoHealthCheck "NO_HEALTH_CHECK" Config "No health check is configured." "Configure one, or decide yourself: `surefoot commit --force --reason TEXT`.";
    ConfigInvalid "CONFIG_INVALID" Config "The configuration cannot be used." "Correct what the message names; `surefoot config check` lists every mistake.";
    ConfigMissing "CONFIG_MISSING" Config "There is no configuration." concat!("Write `", env!("SUREFOOT_PATH_ETC"), "/surefoot.toml`, or name another file: `--config FILE` or the variable `SUREFOOT_CONFIG`.");
    NoSuchFile "NO_SUCH_FILE" NoInput "There is no such file." "Check the path.";
    HostUnreachable "HOST_UNREACHABLE" Retry "The device does not answer over ssh, or the connection broke." "Try `ssh HOST` by hand, then run the same command again; it goes on where it stopped.";
    NoUpdater "NO_UPDATER" Config "There is no surefoot to be run on the device." "Install it there, or say where it is: `--remote PROGRAM`.";
    SourceLost "SOURCE_LOST" Retry "The source ended or failed while it was read." "Run the same command again; it goes on where it stopped.";
    NameUnknown "NAME_UNKNOWN" Retry "No address was found for the name of a server." "Check the name in the URL, and the name servers of the device: `/etc/resolv.conf`.";
    Unreachable "UNREACHABLE" Retry "A server does not answer, or the connection to it broke." "Check the link of the device with `surefoot doctor --network URL`, then run the same command again; it goes on where it stopped.";
    ProxyRefused "PROXY_REFUSED" Retry "The proxy does not let the request pass." "Check `[source] proxy`, and the credentials in it.";
    TlsRefused "TLS_REFUSED" Retry "The server could not prove who it is, or does not accept this device." "Compare `[source] roots` with the server's certificate: `surefoot doctor --network URL`.";
    ClockWrong "CLOCK_WRONG" Retry "The clock of the device is not set, and the server's certificate is good at another time." "Set the clock of the device, or wait until it has the time from the network.";
    CaptivePortal "CAPTIVE_PORTAL" Retry "The network answers with a page of its own in place of the file." "Log in to this network, or use another one; where the server itself answers with a page, correct the URL.";
    RedirectRefused "REDIRECT_REFUSED" Retry "The server leads to a place that this device does not follow to." "Use the URL of the file itself; where it is right, this network answers in place of the server.";
    HttpStatus "HTTP_STATUS" Retry "The web server does not give the file." "Check the URL and the server; the message names the status of its answer.";
    ReportRefused "REPORT_REFUSED" Reject "The server does not take this report, now or later." "Correct `[source] report`, the address that the channel names, or the server. The report is not sent again.";
    HttpAnswer "HTTP_ANSWER" Retry "The answer of the web server breaks HTTP or contradicts itself." "Correct the web server, or what stands between it and the device.";
    HttpRange "HTTP_RANGE" Retry "The web server answered with another part of the file than was asked for." "Correct the web server, or the cache that stands before it.";
    HttpEncoding "HTTP_ENCODING" Retry "The web server compresses or recodes the file." "Have it serve `*.surefoot` and `*.channel` as they are, without any `Content-Encoding`.";
    SourceChanged "SOURCE_CHANGED" Retry "Another file has taken the place of the one that is being fetched." "Run the same command again; it begins with the new one.";
    Stalled "STALLED" Retry "Nothing or almost nothing came for too long." "Run the same command again where the link is better; it goes on where it stopped.";
    BudgetSpent "BUDGET_SPENT" Retry "The bytes that this device may fetch are used up." "Wait until tomorrow, or raise `[source] budget`.";
    NoNetwork "NO_NETWORK" Config "This program was built without the network." "Bring the file to the device, or use a program that is built with the feature `http`.";
    StickUnreadable "STICK_UNREADABLE" NoInput "Nothing on the stick can be read here." "Format the stick as FAT32, copy the artifact to it again and put it in.";
    Usage "USAGE" Usage "The command cannot be understood." "See `--help`.";
    Internal "INTERNAL" Bug "A defect of the program." "Please report it with the output of the command.";
}

impl std::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ReasonCode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = ReasonCode::ALL.iter().find(|c| c.as_str() == text);
        found.copied().ok_or_else(|| format!("`{text}` is not a reason code"))
    }
}

impl serde::Serialize for ReasonCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ReasonCode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // A journal or history that a newer updater wrote is read, its new words or not: losing
        // the whole of it for one word would lose the denylist too.
        let text = String::deserialize(d)?;
        Ok(text.parse().unwrap_or(ReasonCode::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_says_what_to_do() {
        for code in ReasonCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(code.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
            for sentence in [code.meaning(), code.next_step()] {
                assert!(sentence.ends_with('.') && sentence.len() > 10, "{code}: {sentence}");
            }
        }
    }
}
