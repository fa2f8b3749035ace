include $(sort $(wildcard $(BR2_EXTERNAL_SUREFOOT_PATH)/package/*/*.mk))
include $(sort $(wildcard $(BR2_EXTERNAL_SUREFOOT_PATH)/fs/*/*.mk))
