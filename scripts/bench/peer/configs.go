package peer

// berthConfig takes the data folder, commit, other lines for storage, host and
// port. Everything else is berth's default, aside from the log.
const berthConfig = `[storage]
rootDirectory = %q
commit = %t
%s
[http]
address = %q
port = %s

[log]
level = "error"
`

// dockerConfig takes the place of its data and the address. The rest is Debian's
// configuration without its log of every request and its password file.
const dockerConfig = `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
%s
  delete:
    enabled: true
http:
  addr: %s
`

// dockerFolder takes the data folder.
const dockerFolder = `  filesystem:
    rootdirectory: %s`

// nginxConfig serves the data folder as files. sendfile and tcp_nopush are as
// in Debian's nginx.conf; open_file_cache keeps its default, off. One worker,
// because each server has one processor.
const nginxConfig = `user root;
daemon off;
worker_processes 1;
pid @DIR@/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 16384;
events {
	worker_connections 8192;
}
http {
	sendfile on;
	tcp_nopush on;
	access_log off;
	default_type @TYPE@;
	keepalive_requests 1000000000;
	client_body_temp_path @DIR@/tmp;
	proxy_temp_path @DIR@/tmp;
	fastcgi_temp_path @DIR@/tmp;
	uwsgi_temp_path @DIR@/tmp;
	scgi_temp_path @DIR@/tmp;
	server {
		listen @ADDR@;
		root @DATA@;
	}
}
`
