# Run at every build: writes OUTPUT from vpn/base/version.cc.in with what ci/version says of the checkout at ROOT.
execute_process(COMMAND ${ROOT}/ci/version OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
configure_file(${ROOT}/vpn/base/version.cc.in ${OUTPUT} @ONLY)
