"""Starts what a load test needs: the origin, and each proxy on an equivalent configuration.

Every program is pinned with taskset: the proxy to one core, the origin and the load to another. Configurations are made
equal in what they do: one thread, keep-alive to the servers, the same timeouts, the same rules. haproxy runs with its
default `http-reuse safe`, nginx with a pool of idle upstream connections. To add a proxy, write a class with `config` and
`command`, and name it in PROXIES.
"""

import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
BIG = 1 << 20


def find(program):
    """Returns the path of a program, also from where servers are installed."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not path:
        raise SystemExit(f"loadtest: {program} is not installed; `make loadtest` installs it")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Process:
    """A pinned program and its children, and what the kernel says of them."""

    def __init__(self, command, core, folder, name):
        self.name = name
        self.log = folder / f"{name}.log"
        self.child = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            stdin=subprocess.DEVNULL, stdout=open(self.log, "w"), stderr=subprocess.STDOUT,
        )

    def pids(self):
        """Returns the process and its children (nginx serves from a child)."""
        pids = [self.child.pid]
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
                try:
                    pids += map(int, (task / "children").read_text().split())
                except OSError:
                    pass
        return pids

    def wait_for(self, port):
        for _ in range(500):
            if self.child.poll() is not None:
                raise SystemExit(f"loadtest: {self.name} ended:\n{self.log.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.02)
        raise SystemExit(f"loadtest: {self.name} does not listen:\n{self.log.read_text()}")

    def cpu(self):
        """Returns (user, system) seconds of all its threads; io workers of a ring are threads of its process."""
        user = system = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user += int(fields[11])
            system += int(fields[12])
        return user / TICKS, system / TICKS

    def rss(self):
        """Returns its resident bytes."""
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total

    def descriptors(self):
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids())

    def stop(self):
        for pid in reversed(self.pids()):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def start_origin(folder, core):
    """Starts nginx as the origin: bodies by name, from memory and from the page cache."""
    port = free_port()
    files = folder / "files"
    files.mkdir()
    (files / "16k").write_bytes(os.urandom(16 << 10))
    (files / "1m").write_bytes(os.urandom(1 << 20))
    config = folder / "origin.conf"
    config.write_text(f"""
worker_processes 1; worker_rlimit_nofile 20000; daemon off; pid {folder}/origin.pid;
error_log {folder}/origin-error.log error;
events {{ worker_connections 19000; }}
http {{
    access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
    keepalive_requests 1000000000; keepalive_timeout 300s; open_file_cache max=10;
    {temp_paths(folder, "origin")}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {files};
        location = /100 {{ default_type text/plain; return 200 "{"x" * 100}"; }}
    }}
}}
""")
    return Process([find("nginx"), "-c", config, "-e", folder / "origin-start.log"], core, folder, "origin").wait_for(port), port


def temp_paths(folder, name):
    kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    return " ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in kinds)


# Ten conditions of the usual kinds, of which none holds for the load's requests but the last; and three edits.
RULES = """
    acl bad_path path_beg /wp-admin /phpmyadmin /.git
    acl bad_end path_end .php .asp
    acl bad_agent hdr_sub(user-agent) -i sqlmap nikto
    acl internal src 10.0.0.0/8
    acl is_post method POST
    acl host_api hdr(host) -i api.example.org
    acl host_img hdr_beg(host) -i img.
    acl deep path_reg ^/v[0-9]+/users/
    acl long path_len gt 512
    acl has_token hdr_cnt(x-token) ge 1
    http-request deny if bad_path
    http-request deny if bad_end
    http-request deny if bad_agent
    http-request deny if is_post !internal
    http-request deny if long
    http-request set-header X-Forwarded-Proto http
    http-request add-header X-Request-Source edge
    http-request del-header X-Secret
    use_backend other if host_api
    use_backend other if host_img
    use_backend other if deep
    use_backend other if has_token
    use_backend other if internal
"""

NGINX_RULES = """
        if ($uri ~ "^/(wp-admin|phpmyadmin|\\.git)") { return 403; }
        if ($uri ~ "\\.(php|asp)$") { return 403; }
        if ($http_user_agent ~* "sqlmap|nikto") { return 403; }
        if ($refused_method) { return 403; }
        if ($request_uri ~ "^.{513,}") { return 403; }
        if ($host = "api.example.org") { rewrite ^ /other last; }
        if ($host ~* "^img\\.") { rewrite ^ /other last; }
        if ($uri ~ "^/v[0-9]+/users/") { rewrite ^ /other last; }
        if ($http_x_token) { rewrite ^ /other last; }
        if ($internal) { rewrite ^ /other last; }
"""


class Haproxy:
    """haproxy's language; fastlb reads the same file but for what only haproxy's process needs."""

    name = "haproxy"

    def __init__(self, binary=None):
        self.binary = binary or find("haproxy")

    def process_lines(self):
        return "    nbthread 1\n"

    def server_words(self, scenario):
        # An idle client must not be charged with a server connection that the pool keeps for it.
        return " pool-max-conn 0" if scenario.get("idle") else ""

    def config(self, folder, scenario, logs, port, origin, log_port):
        tcp = scenario["mode"] == "tcp"
        # A spliced connection needs descriptors for its pipes; idle ones are many.
        maxconn = 9000 if scenario.get("idle") else 3000
        lines = f"global\n    maxconn {maxconn}\n{self.process_lines()}"
        if logs:
            lines += f"    log 127.0.0.1:{log_port} local0 info\n"
        lines += (
            f"defaults\n    mode {scenario['mode']}\n    timeout connect 5s\n    timeout client 5m\n"
            "    timeout server 5m\n"
        )
        if not tcp:
            lines += "    timeout http-keep-alive 5m\n"
        if scenario.get("splice"):
            lines += "    option splice-auto\n"
        if logs:
            lines += f"    log global\n    option {'tcplog' if tcp else 'httplog'}\n"
        lines += f"frontend front\n    bind 127.0.0.1:{port}\n"
        if scenario.get("rules"):
            lines += RULES
        lines += "    default_backend back\n"
        server = f"    balance roundrobin\n    server s1 127.0.0.1:{origin}{self.server_words(scenario)}\n"
        lines += f"backend back\n{server}"
        if scenario.get("rules"):
            lines += f"backend other\n{server}"
        path = folder / f"{self.name}.cfg"
        path.write_text(lines)
        return path

    def command(self, config):
        return [self.binary, "-db", "-f", config]

    def version(self):
        said = subprocess.run([self.binary, "-v"], capture_output=True, text=True).stdout
        return said.splitlines()[0] if said else "?"


class Fastlb(Haproxy):
    name = "fastlb"

    def process_lines(self):
        return ""

    def server_words(self, scenario):
        return ""

    def command(self, config):
        return [self.binary, "--cores", "1", "-f", config]

    def version(self):
        said = subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout
        return said.splitlines()[0] if said else "?"


class Nginx:
    name = "nginx"

    def __init__(self, binary=None):
        self.binary = binary or find("nginx")

    def config(self, folder, scenario, logs, port, origin, log_port):
        log = f"access_log syslog:server=127.0.0.1:{log_port}" if logs else "access_log off"
        top = (
            f"worker_processes 1; worker_rlimit_nofile 20000; daemon off; pid {folder}/nginx.pid;\n"
            f"error_log {folder}/nginx-error.log error;\nevents {{ worker_connections 19000; }}\n"
        )
        if scenario["mode"] == "tcp":
            module = "/usr/lib/nginx/modules/ngx_stream_module.so"
            body = f"""
stream {{
    log_format tcp '$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time';
    {log + " tcp" if logs else log};
    proxy_buffer_size 64k;
    server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass 127.0.0.1:{origin}; }}
}}
"""
            top = f"load_module {module};\n" + top
        else:
            edits = rules = other = ""
            if scenario.get("rules"):
                rules = NGINX_RULES
                edits = (
                    "proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Request-Source edge;"
                    ' proxy_set_header X-Secret "";'
                )
                other = "location = /other { proxy_pass http://back; }"
            body = f"""
http {{
    {log + " combined" if logs else log};
    keepalive_requests 1000000000; keepalive_timeout 300s; tcp_nodelay on;
    {temp_paths(folder, "nginx")}
    map "$request_method:$internal" $refused_method {{ "POST:0" 1; default 0; }}
    geo $internal {{ default 0; 10.0.0.0/8 1; }}
    upstream back {{ server 127.0.0.1:{origin}; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 300s; }}
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; {edits}
    proxy_buffers 8 32k; proxy_buffer_size 16k; proxy_max_temp_file_size 0;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {rules}
        location / {{ proxy_pass http://back; }}
        {other}
    }}
}}
"""
        path = folder / "nginx.conf"
        path.write_text(top + body)
        return path

    def command(self, config):
        return [self.binary, "-c", config, "-e", config.with_suffix(".start.log")]

    def version(self):
        return subprocess.run([self.binary, "-v"], capture_output=True, text=True).stderr.strip()


PROXIES = {proxy.name: proxy for proxy in (Fastlb, Haproxy, Nginx)}
