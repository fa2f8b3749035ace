################################################################################
#
# surefoot
#
################################################################################

SUREFOOT_VERSION = 0.4.0
SUREFOOT_SOURCE = surefoot-$(SUREFOOT_VERSION)-vendored.tar.gz
SUREFOOT_SITE = $(call qstrip,$(BR2_PACKAGE_SUREFOOT_SOURCE_FOLDER))
SUREFOOT_SITE_METHOD = file
SUREFOOT_LICENSE = MIT or Apache-2.0
SUREFOOT_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

ifeq ($(BR2_PACKAGE_SUREFOOT)$(BR2_PACKAGE_HOST_SUREFOOT),)
else ifeq ($(BR_BUILDING)$(SUREFOOT_SITE),y)
$(error BR2_PACKAGE_SUREFOOT_SOURCE_FOLDER is empty: buildroot/source makes this folder)
endif

SUREFOOT_FEATURES = device$(if $(BR2_PACKAGE_SUREFOOT_NETWORK),$(comma)http)

# The profile for a device, in the place of the one that the infrastructure
# names: it is small, and its size is held to a budget.
define SUREFOOT_BUILD_CMDS
	cd $(@D) && \
	$(TARGET_MAKE_ENV) $(TARGET_CONFIGURE_OPTS) $(PKG_CARGO_ENV) \
		cargo build --offline --locked --profile device \
			--no-default-features --features $(SUREFOOT_FEATURES) \
			--bin surefoot
endef

define SUREFOOT_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/$(RUSTC_TARGET_NAME)/device/surefoot \
		$(TARGET_DIR)$$($(@D)/packaging/expand --get BIN)
	$(call SUREFOOT_PUT,$(BR2_PACKAGE_SUREFOOT_CONFIGURATION),ETC,/surefoot.toml)
	$(call SUREFOOT_PUT,$(BR2_PACKAGE_SUREFOOT_TRUST),TRUST)
	$(call SUREFOOT_PUT,$(BR2_PACKAGE_SUREFOOT_FW_ENV_CONFIG),FW_ENV_CONFIG)
	mkdir -p $(TARGET_DIR)$$($(@D)/packaging/expand --get DATA)
endef

# $(1): a file of the integrator, which may name paths as @NAME@,
# $(2): the name of its place, $(3): what is behind that
define SUREFOOT_PUT
	$(if $(call qstrip,$(1)),to=$(TARGET_DIR)$$($(@D)/packaging/expand --get $(2))$(3) && \
		mkdir -p $$(dirname $$to) && \
		$(@D)/packaging/expand $(call qstrip,$(1)) >$$to)
endef

define SUREFOOT_INSTALL_INIT_SYSTEMD
	$(@D)/systemd/install $(TARGET_DIR)
endef

define SUREFOOT_INSTALL_INIT_SYSV
	$(@D)/packaging/init/install $(TARGET_DIR) busybox
endef

# Again when all packages are there: its line comes first in an inittab that
# another package brings.
define SUREFOOT_INITTAB
	$(SUREFOOT_DIR)/packaging/init/install $(TARGET_DIR) busybox
endef
ifeq ($(BR2_INIT_BUSYBOX)$(BR2_INIT_SYSV),y)
SUREFOOT_TARGET_FINALIZE_HOOKS += SUREFOOT_INITTAB
endif

define SUREFOOT_INSTALL_INIT_OPENRC
	$(@D)/packaging/init/install $(TARGET_DIR) openrc
endef

# Groups alone: who may ask, and who may have things done.
define SUREFOOT_USERS
	- -1 surefoot-status -1 * - - - The status of the updater
	- -1 surefoot-control -1 * - - - The requests of the updater
endef

define HOST_SUREFOOT_BUILD_CMDS
	cd $(@D) && \
	$(HOST_MAKE_ENV) $(HOST_CONFIGURE_OPTS) $(HOST_PKG_CARGO_ENV) \
		cargo build --offline --locked --release \
			--no-default-features --features forge \
			--bin surefoot-forge
endef

define HOST_SUREFOOT_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(@D)/target/release/surefoot-forge \
		$(HOST_DIR)/bin/surefoot-forge
	mkdir -p $(HOST_DIR)/share/surefoot
	cp -r $(@D)/uboot-scripts $(HOST_DIR)/share/surefoot/
endef

$(eval $(cargo-package))
$(eval $(host-cargo-package))
