################################################################################
#
# Build a signed release of surefoot from the root filesystem image
#
################################################################################

ROOTFS_SUREFOOT_KIND = $(if $(BR2_TARGET_ROOTFS_SUREFOOT_EROFS),erofs,$(if $(BR2_TARGET_ROOTFS_SUREFOOT_SQUASHFS),squashfs,ext2))
ROOTFS_SUREFOOT_DEPENDENCIES = host-surefoot rootfs-$(ROOTFS_SUREFOOT_KIND)

ROOTFS_SUREFOOT_PRODUCT = $(call qstrip,$(BR2_TARGET_ROOTFS_SUREFOOT_PRODUCT))
ROOTFS_SUREFOOT_COMPATIBLE = $(call qstrip,$(BR2_TARGET_ROOTFS_SUREFOOT_COMPATIBLE))
ROOTFS_SUREFOOT_VERSION = $(call qstrip,$(BR2_TARGET_ROOTFS_SUREFOOT_VERSION))
ROOTFS_SUREFOOT_KEY = $(call qstrip,$(BR2_TARGET_ROOTFS_SUREFOOT_KEY))

ifeq ($(BR_BUILDING)$(BR2_TARGET_ROOTFS_SUREFOOT),yy)
$(foreach name,PRODUCT COMPATIBLE VERSION KEY,\
	$(if $(ROOTFS_SUREFOOT_$(name)),,\
		$(error BR2_TARGET_ROOTFS_SUREFOOT_$(name) is empty: a signed release needs it)))
endif

# One word of the shell each: a key may be cmd:PROGRAM with options.
ROOTFS_SUREFOOT_QUOTE = '$(subst ','\'',$(1))'

define ROOTFS_SUREFOOT_CMD
	rm -f $@
	$(HOST_DIR)/bin/surefoot-forge build \
		--rootfs $(BINARIES_DIR)/rootfs.$(ROOTFS_SUREFOOT_KIND) \
		--product $(call ROOTFS_SUREFOOT_QUOTE,$(ROOTFS_SUREFOOT_PRODUCT)) \
		$(foreach name,$(ROOTFS_SUREFOOT_COMPATIBLE),--compatible $(call ROOTFS_SUREFOOT_QUOTE,$(name))) \
		--version $(call ROOTFS_SUREFOOT_QUOTE,$(ROOTFS_SUREFOOT_VERSION)) \
		--key $(call ROOTFS_SUREFOOT_QUOTE,$(ROOTFS_SUREFOOT_KEY)) \
		$(call qstrip,$(BR2_TARGET_ROOTFS_SUREFOOT_OPTIONS)) \
		-o $@
endef

$(eval $(rootfs))
