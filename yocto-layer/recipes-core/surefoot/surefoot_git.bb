SUMMARY = "A/B updates that come back by themselves when they are bad"
DESCRIPTION = "The updater of a device: installs signed artifacts into the slot that does not run, decides trials, serves sticks and channels."

require surefoot.inc

inherit systemd surefoot_check

PACKAGECONFIG ??= "http"
# Without it there is no network code in the program at all.
PACKAGECONFIG[http] = ""

CARGO_BUILD_FLAGS += "--no-default-features --features device${@bb.utils.contains('PACKAGECONFIG', 'http', ',http', '', d)} --bin surefoot"
PACKAGECONFIG_CONFARGS = ""

SYSTEMD_SERVICE:${PN} = "${@surefoot.units(d)}"

do_install:append () {
    "${S}/systemd/install" "${D}" --data "${SUREFOOT_DATA}"
    install -d "${D}${SUREFOOT_DATA}"
}

FILES:${PN} += "${nonarch_libdir}/systemd ${nonarch_libdir}/sysusers.d ${nonarch_libdir}/tmpfiles.d ${nonarch_libdir}/udev ${SUREFOOT_DATA}"

# The units name two groups, and a read-only root cannot get them at the first boot.
inherit useradd
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system surefoot-status; --system surefoot-control"

RDEPENDS:${PN} += "surefoot-conf surefoot-keys"
