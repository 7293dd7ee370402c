# Completions of vpn for bash; printed by 'vpn completions bash'.
_vpn_interfaces() {
  local socket
  for socket in /var/run/wireguard/*.sock; do
    [[ -S $socket ]] && socket=${socket##*/} && printf '%s\n' "${socket%.sock}"
  done
}

_vpn() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=
  [[ $COMP_CWORD -gt 1 ]] && verb=${COMP_WORDS[1]}
  COMPREPLY=()
  case $verb in
    '')
      COMPREPLY=($(compgen -W 'daemon up down reload show watch invite cleanup genkey pubkey genpsk check bench completions -h --help --version' -- "$cur"))
      ;;
    daemon)
      case $prev in
        -i|--interface) COMPREPLY+=($(compgen -W "$(_vpn_interfaces)" -- "$cur")); return ;;
        --key-log) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); return ;;
        --log-level) COMPREPLY+=($(compgen -W 'debug info warning error off' -- "$cur")); return ;;
        --log-format) COMPREPLY+=($(compgen -W 'text json' -- "$cur")); return ;;
      esac
      COMPREPLY=($(compgen -W '-h --help -i --interface -b --background --key-log --log-level --log-format' -- "$cur"))
      [[ $cur == -* ]] || { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); }
      ;;
    up)
      case $prev in
        --log-level) COMPREPLY+=($(compgen -W 'debug info warning error off' -- "$cur")); return ;;
        --log-format) COMPREPLY+=($(compgen -W 'text json' -- "$cur")); return ;;
      esac
      COMPREPLY=($(compgen -W '-h --help --log-level --log-format' -- "$cur"))
      [[ $cur == -* ]] || { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); }
      ;;
    down)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      [[ $cur == -* ]] || { COMPREPLY+=($(compgen -W "$(_vpn_interfaces)" -- "$cur")); }
      ;;
    reload)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      [[ $cur == -* ]] || { COMPREPLY+=($(compgen -W "$(_vpn_interfaces)" -- "$cur")); }
      ;;
    show)
      case $prev in
        --socket-dir) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")); return ;;
      esac
      COMPREPLY=($(compgen -W '-h --help --json --metrics --socket-dir' -- "$cur"))
      [[ $cur == -* ]] || { COMPREPLY+=($(compgen -W "$(_vpn_interfaces)" -- "$cur")); }
      ;;
    watch)
      case $prev in
        --interval) return ;;
        --socket-dir) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")); return ;;
      esac
      COMPREPLY=($(compgen -W '-h --help --interval --once --socket-dir' -- "$cur"))
      [[ $cur == -* ]] || { COMPREPLY+=($(compgen -W "$(_vpn_interfaces)" -- "$cur")); }
      ;;
    invite)
      case $prev in
        --endpoint) return ;;
        --name) return ;;
        --address) return ;;
        --allowed-ips) return ;;
        --dns) return ;;
        --keepalive) return ;;
        -o|--output) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); return ;;
        --qr) COMPREPLY+=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --socket-dir) compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")); return ;;
      esac
      COMPREPLY=($(compgen -W '-h --help --endpoint --name --address --allowed-ips --full-tunnel --dns --keepalive --no-preshared-key -o --output --qr --only-file --only-daemon --socket-dir' -- "$cur"))
      [[ $cur == -* ]] || { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); }
      ;;
    cleanup)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      [[ $cur == -* ]] || { COMPREPLY+=($(compgen -W "$(_vpn_interfaces)" -- "$cur")); }
      ;;
    genkey)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      ;;
    pubkey)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      ;;
    genpsk)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      ;;
    check)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      [[ $cur == -* ]] || { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); }
      ;;
    bench)
      case $prev in
        --seconds) return ;;
      esac
      COMPREPLY=($(compgen -W '-h --help --json --crypto-only --seconds' -- "$cur"))
      ;;
    completions)
      case $prev in
      esac
      COMPREPLY=($(compgen -W '-h --help' -- "$cur"))
      [[ $cur == -* ]] || { COMPREPLY+=($(compgen -W 'bash zsh fish' -- "$cur")); }
      ;;
  esac
}

complete -F _vpn vpn
