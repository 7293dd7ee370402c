#include "vpn/config/key_docs.h"

namespace vpn::config {
namespace {

constexpr char kInterface[] = "Interface";
constexpr char kPeer[] = "Peer";

constexpr KeyDoc kDocs[] = {
    {kInterface, "PrivateKey", "KEY",
     "The private key of this host: 32 bytes in base64, as 'vpn genkey' prints. Without it nothing can be "
     "sent or "
     "received.",
     "none", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="},
    {kInterface, "ListenPort", "PORT",
     "The UDP port to receive on, 0 to 65535. A host that others call needs a fixed one.", "0: any free port",
     "51820"},
    {kInterface, "FwMark", "NUMBER|off",
     "The mark of the encrypted packets, up to 0xffffffff, for policy routing and firewalls.", "off",
     "0xca6c"},
    {kInterface, "Address", "ADDRESS/LENGTH, …",
     "The addresses of the interface, IPv4 and IPv6, with the length of the network around them. A bare "
     "address stands for itself alone. What comes to one of them from outside the tunnel is dropped, so that "
     "nobody on a link finds it out (CVE-2019-14899), unless Table is off; but where another interface has "
     "the "
     "same address, only by a full tunnel or with KillSwitch.",
     "none", "10.0.0.1/24, fd00::1/64"},
    {kInterface, "MTU", "BYTES",
     "The largest packet inside the tunnel, 576 to 65535. Each packet grows by 60 bytes over IPv4 and by 80 "
     "over IPv6. Where this is not given, it follows the routes, and while there is traffic it is looked "
     "what "
     "gets through to each peer: by pings inside the tunnel to an address by itself (/32, /128) of its "
     "AllowedIPs, "
     "else to the first address of the tunnel's network, else to a name server. Routes to a peer to which "
     "less "
     "gets through, or whose link takes less, are given that MTU. No packet of ours leaves the host in "
     "fragments, "
     "except that one of up to 1280 bytes, which IPv6 needs everywhere, is split on a link that takes less; "
     "what is longer is lost and counted as send_too_large.",
     "the MTU of the route to the endpoints, less 60 over IPv4 and 80 over IPv6", "1420"},
    {kInterface, "DNS", "ADDRESS|DOMAIN, …",
     "The name servers to use while the tunnel is up, for all names, whatever AllowedIPs are; what is no "
     "address is a search domain. Search domains alone leave the host's name servers as they are. Who is "
     "told: "
     "systemd-resolved where it runs, and, unless /etc/resolv.conf leads to it alone, also resolvconf, or "
     "else "
     "that file.",
     "none: name resolution stays as it is", "9.9.9.9, 2620:fe::fe, corp.example"},
    {kInterface, "Table", "auto|off|main|NUMBER",
     "The routing table for the peers' AllowedIPs. auto puts them into main, and a default route into a "
     "table of its own, past which nothing goes while the interface is down, nor after a crash, until the "
     "daemon is back, 'vpn down' or 'vpn cleanup'; off makes no routes. While the tunnel is up they are its "
     "own: what others remove of them, of its addresses and of its rules is added again, until 'vpn down'; a "
     "route that others put in the place of one stays.",
     "auto", "off"},
    {kInterface, "PreUp", "COMMAND",
     "A command to run before the interface is set up; %i in it becomes the interface's name, which "
     "$INTERFACE "
     "is too. Commands of "
     "one key run "
     "in the order written. Whoever ends the tunnel while a command of going up runs ends the command too, "
     "and "
     "one of going down who asks a second time.",
     "none", "echo bringing %i up"},
    {kInterface, "PostUp", "COMMAND", "A command to run once the interface is up.", "none",
     "nft add rule inet filter forward iifname %i accept"},
    {kInterface, "PreDown", "COMMAND", "A command to run before the interface is taken down.", "none",
     "echo taking %i down"},
    {kInterface, "PostDown", "COMMAND", "A command to run after the interface is gone.", "none",
     "echo %i is gone"},
    {kInterface, "SaveConfig", "true|false",
     "Whether the running configuration replaces this file when the tunnel goes down. Comments in the file "
     "are lost "
     "then.",
     "false", "true"},
    {kInterface, "User", "NAME",
     "The user that the daemon becomes once everything is set up. It keeps CAP_NET_ADMIN and, for ports "
     "below "
     "1024, CAP_NET_BIND_SERVICE, and nothing else. To reload, that user must be able to read this file.",
     "none: the daemon stays who it is", "vpn", true},
    {kInterface, "Workers", "1 … 64",
     "How many threads carry packets, each with its own queue of the interface and its own sockets. Packets "
     "of "
     "one connection, and those of one peer's address, stay with one of them.",
     "one for each core", "1", true},
    {kInterface, "TunOffload", "on|off",
     "Whether large packets are exchanged with the interface, where the kernel can (TSO and USO). To be "
     "switched off "
     "only around a kernel's fault.",
     "on", "off", true},
    {kInterface, "UdpOffload", "on|off",
     "Whether many datagrams are exchanged with the UDP sockets at once, where the kernel can (GSO and GRO). "
     "To be "
     "switched off only around a kernel's fault.",
     "on", "off", true},
    {kInterface, "KillSwitch", "on|off",
     "Whether nothing may leave this host but through the tunnel: the encrypted packets themselves, DHCP, "
     "neighbour discovery and AllowLan apart. It stands through reconnects, crashes and restarts of the "
     "daemon; 'vpn down' and 'vpn cleanup' lift it. Sessions from outside, SSH too, live on from AllowLan "
     "only.",
     "off", "on", true},
    {kInterface, "AllowLan", "ADDRESS/LENGTH, …",
     "Private networks that stay reachable past a full tunnel and the kill switch, for printers and the "
     "like, or by a tunnel of another program beside it; what is for a split tunnel of ours goes there by "
     "itself.",
     "none", "192.168.1.0/24", true},
    {kInterface, "Gateway", "on|off",
     "Whether this host forwards between the tunnel and its other networks: it switches forwarding on, "
     "translates the peers' addresses (masquerade), and limits TCP's segments to what fits the tunnel.",
     "off", "on", true},
    {kInterface, "Masquerade", "INTERFACE",
     "Makes this host a gateway, as Gateway does, towards this one interface.", "none", "eth0", true},
    {kInterface, "ClientToClient", "on|off", "Whether the peers of a gateway reach each other through it.",
     "on", "off", true},
    {kInterface, "TunnelCgroup", "PATH",
     "Of a full tunnel: only what runs in this cgroup goes through it. The path is below the root of the "
     "cgroup2 hierarchy. It may come later, and be made anew, as with each start of a unit; it is followed "
     "a moment later, and until then what runs in it goes out in clear.",
     "none: everything goes through the tunnel", "user.slice/browser.scope", true},
    {kInterface, "BypassCgroup", "PATH",
     "Of a full tunnel: what runs in this cgroup does not go through it. It may come later, and be made "
     "anew.",
     "none", "user.slice/game.scope", true},
    {kPeer, "PublicKey", "KEY",
     "The peer's public key, as 'vpn pubkey' prints. Every peer has one, and its own.", "none: required",
     "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="},
    {kPeer, "PresharedKey", "KEY",
     "A secret that both ends share besides their key pairs, as 'vpn genpsk' prints; it protects against an "
     "attacker "
     "who will one day break Curve25519.",
     "none", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="},
    {kPeer, "AllowedIPs", "ADDRESS/LENGTH, …",
     "The networks behind the peer: packets to them go to it, and only packets from them are taken from it. "
     "The "
     "longest match decides between peers; 0.0.0.0/0 and ::/0 stand for everything, 10.0.0.5/16 for "
     "10.0.0.0/16.",
     "none: nothing is routed to the peer", "10.0.0.2/32, fd00::2/128"},
    {kPeer, "Endpoint", "HOST:PORT",
     "Where the peer is reached: a name or an address, IPv6 in brackets. The line may be given more than "
     "once, and "
     "a name may have several addresses: a peer that is silent for 15 seconds is tried at the next of them, "
     "in "
     "order, and then with growing pauses for ever; where it answers, it stays. A peer that calls from "
     "elsewhere is answered there.",
     "none: the peer has to call first", "vpn.example.org:51820"},
    {kPeer, "PersistentKeepalive", "SECONDS|off",
     "How often an empty packet is sent to a silent peer, 1 to 65535; 25 keeps most NAT mappings open. "
     "From a peer that has it and says nothing for 9 seconds an answer is asked for, by a ping inside the "
     "tunnel, so "
     "that its silence is noticed within 25 seconds.",
     "off", "25"},
    {kPeer, "Name", "TEXT", "A name for people, in logs and in 'vpn show'.",
     "none: the public key stands for it", "laptop of Ann", true},
    {kPeer, "Cipher", "chacha20-poly1305|aes-256-gcm",
     "The cipher of the packets. Both ends have to name the same; every other WireGuard speaks "
     "chacha20-poly1305 only.",
     "chacha20-poly1305", "aes-256-gcm", true},
    {kPeer, "RekeyAfterBytes", "AMOUNT|off",
     "New keys are made after so much data, like 64MB or 1GiB, besides the limit of time.", "off", "64MB",
     true},
    {kPeer, "RekeyAfterTime", "TIME",
     "New keys are made after this time, 1s to 120s. The protocol's own limit is 120s.", "120s", "60s", true},
};

}  // namespace

std::span<const KeyDoc> key_docs() noexcept {
  return kDocs;
}

}  // namespace vpn::config
