#!/usr/bin/env bash
# Three brokers of Apache Kafka (KRaft, each also a controller) on loopback, for tests.
#
#   cluster.sh up DIR        make the cluster in DIR (anew) and wait until it serves
#   cluster.sh renew DIR     the same cluster as up made it, without a topic: quicker than up
#   cluster.sh stop DIR [N]  kill -9 every broker, or broker N
#   cluster.sh start DIR [N] start what is not running, and wait until it serves
#   cluster.sh down DIR      kill all and delete DIR
#   cluster.sh run CMD ...   run CMD with a cluster of its own, its folder in KAFKA_TEST_DIR
#
# DIR/brokers then holds the addresses without authentication, DIR/brokers-sasl those with TLS and
# SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; user gnomon, password gnomon-test), DIR/ca.pem the
# certificate to trust. Ports: KAFKA_TEST_PORT (23100) + N, + 10 + N, + 20 + N.
# It exits with 77 where Java or Maven is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
verb=${1:?up, renew, stop, start, down or run}
if [ "$verb" = run ]; then
	shift
	export KAFKA_TEST_DIR
	KAFKA_TEST_DIR=$(mktemp -d)/kafka
	trap '"$0" down "$KAFKA_TEST_DIR"; rmdir "$(dirname "$KAFKA_TEST_DIR")"' EXIT
	"$0" up "$KAFKA_TEST_DIR" || exit $?
	"$@"
	exit $?
fi
dir=${2:?the folder} only=${3:-}
port=${KAFKA_TEST_PORT:-23100}
nodes=(1 2 3)

jvm() { # jvm HEAP CLASS ARGS...
	local heap=$1; shift
	exec java "-Xmx$heap" -Xms64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto \
		-Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$(cat "$dir/classpath")" "$@"
}

running() { [ -s "$dir/$1/pid" ] && kill -0 "$(cat "$dir/$1/pid")" 2>/dev/null; }

serves() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

configure() { # configure N
	mkdir -p "$dir/$1/data"
	cat >"$dir/$1/server.properties" <<-P
		process.roles=broker,controller
		node.id=$1
		controller.quorum.voters=1@127.0.0.1:$((port + 11)),2@127.0.0.1:$((port + 12)),3@127.0.0.1:$((port + 13))
		listeners=PLAINTEXT://127.0.0.1:$((port + $1)),CONTROLLER://127.0.0.1:$((port + 10 + $1)),SASL_SSL://127.0.0.1:$((port + 20 + $1))
		advertised.listeners=PLAINTEXT://127.0.0.1:$((port + $1)),SASL_SSL://127.0.0.1:$((port + 20 + $1))
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAINTEXT
		sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
		listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_gnomon="gnomon-test";
		listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		ssl.keystore.location=$dir/keystore.p12
		ssl.keystore.type=PKCS12
		ssl.keystore.password=gnomon-test
		log.dirs=$dir/$1/data
		auto.create.topics.enable=false
		offsets.topic.num.partitions=3
		offsets.topic.replication.factor=3
		group.initial.rebalance.delay.ms=0
		num.network.threads=2
		num.io.threads=2
		log.cleaner.dedupe.buffer.size=4194304
		log.index.size.max.bytes=65536
		broker.session.timeout.ms=6000
		file.delete.delay.ms=1000
	P
}

prepare() {
	command -v java >/dev/null && command -v mvn >/dev/null && command -v keytool >/dev/null || {
		echo "java (17 or newer) or mvn is missing: no Apache Kafka to test against" >&2
		exit 77
	}
	mvn -q -B -f "$here/pom.xml" dependency:build-classpath -Dmdep.outputFile="$dir/classpath" >"$dir/mvn.log" 2>&1 || {
		tail -5 "$dir/mvn.log" >&2
		echo "Maven could not bring Apache Kafka's jars" >&2
		exit 77
	}
	cat >"$dir/log4j2.properties" <<-P
		rootLogger.level=WARN
		rootLogger.appenderRef.out.ref=out
		appender.out.type=Console
		appender.out.name=out
		appender.out.layout.type=PatternLayout
		appender.out.layout.pattern=%d %p %c{1} %m%n
	P
	keytool -genkeypair -alias broker -keyalg EC -validity 30 -dname CN=127.0.0.1 -ext san=ip:127.0.0.1,dns:localhost \
		-storetype PKCS12 -keystore "$dir/keystore.p12" -storepass gnomon-test 2>/dev/null
	keytool -exportcert -rfc -alias broker -keystore "$dir/keystore.p12" -storepass gnomon-test >"$dir/ca.pem" 2>/dev/null
	local n
	for n in "${nodes[@]}"; do
		configure "$n"
		jvm 128m kafka.tools.StorageTool format -t Z25vbW9uLXRlc3Qta2Fma2E -c "$dir/$n/server.properties" \
			--add-scram 'SCRAM-SHA-256=[name=gnomon,password=gnomon-test]' \
			--add-scram 'SCRAM-SHA-512=[name=gnomon,password=gnomon-test]' >"$dir/$n/format.log" 2>&1 &
	done
	wait
	for n in "${nodes[@]}"; do cp -r "$dir/$n/data" "$dir/$n/fresh"; done
	echo "127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2)),127.0.0.1:$((port + 3))" >"$dir/brokers"
	echo "127.0.0.1:$((port + 21)),127.0.0.1:$((port + 22)),127.0.0.1:$((port + 23))" >"$dir/brokers-sasl"
}

start() {
	local n
	for n in "${nodes[@]}"; do
		running "$n" && continue
		jvm 256m kafka.Kafka "$dir/$n/server.properties" >>"$dir/$n/out.log" 2>&1 </dev/null &

		echo $! >"$dir/$n/pid"
	done
	for n in "${nodes[@]}"; do
		for _ in $(seq 600); do
			serves $((port + n)) && break
			running "$n" || { tail -20 "$dir/$n/out.log" >&2; echo "broker $n ended" >&2; exit 1; }
			sleep 0.1
		done
		serves $((port + n)) || { tail -20 "$dir/$n/out.log" >&2; echo "broker $n does not serve" >&2; exit 1; }
	done
}

stop() {
	local n pid
	for n in "${nodes[@]}"; do
		running "$n" || continue
		pid=$(cat "$dir/$n/pid")
		kill -9 "$pid"
		while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
		rm -f "$dir/$n/pid"
	done
}

[ -z "$only" ] || nodes=("$only")
case $verb in
up)
	mkdir -p "$dir"
	stop
	rm -rf "$dir"
	mkdir -p "$dir"
	prepare
	start
	;;
renew)
	stop
	for n in "${nodes[@]}"; do
		rm -rf "$dir/$n/data"
		cp -r "$dir/$n/fresh" "$dir/$n/data"
	done
	start
	;;
start) start ;;
stop) stop ;;
down)
	stop
	rm -rf "$dir"
	;;
*)
	echo "$verb: up, renew, stop, start, down or run" >&2
	exit 2
	;;
esac
