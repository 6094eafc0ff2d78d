# To be sourced: uv does not read pip's configuration, so hand on what a mirror or a folder of
# wheels needs. Argument: a Python that has pip.
hand_on_pip_settings() {
    local setting key value
    while IFS= read -r setting; do
        key=${setting%%=*} value=${setting#*=}
        value=${value#[\'\"]} value=${value%[\'\"]}
        case $key in
            *.find-links) export UV_FIND_LINKS=${UV_FIND_LINKS:-${value// /,}} ;;
            *.index-url) export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$value} ;;
            *.cert) export SSL_CERT_FILE=${SSL_CERT_FILE:-$value} ;;
        esac
    done < <("$1" -m pip config list 2>/dev/null || true)
}
