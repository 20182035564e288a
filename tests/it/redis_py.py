"""What the Python client of Redis does with a cluster.

redis_py.py plain|cluster ADDRESS…        checks each kind of command
redis_py.py load ADDRESS…                 a load through the cluster client, until a
                                          line comes on stdin; prints what came of it
"""
import json
import sys
import threading

import redis
from redis.cluster import ClusterNode, RedisCluster


def plain(address):
    host, port = address.rsplit(":", 1)
    return redis.Redis(host=host, port=int(port), protocol=3)


def cluster(addresses):
    nodes = [ClusterNode(*address.rsplit(":", 1)) for address in addresses]
    nodes = [ClusterNode(node.host, int(node.port)) for node in nodes]
    return RedisCluster(startup_nodes=nodes, require_full_coverage=True)


def check(client, others):
    """Each kind of command; `others` read what `client` wrote."""
    name = f"check:{id(client)}:"
    assert client.set(name + "a", b"\x00\r\n\xff", ex=1000)
    for other in others:
        assert other.get(name + "a") == b"\x00\r\n\xff"
        assert 990 <= other.ttl(name + "a") <= 1000
    assert client.set(name + "a", "again", nx=True) is None
    assert client.set(name + "a", "again", get=True, keepttl=True) == b"\x00\r\n\xff"
    assert client.pttl(name + "a") > 900_000
    assert client.persist(name + "a") and client.ttl(name + "a") == -1
    assert client.expire(name + "a", 100, nx=True) and not client.expire(name + "a", 90, gt=True)
    assert client.getex(name + "a", persist=True) == b"again"
    assert client.append(name + "a", "!") == 6 and client.strlen(name + "a") == 6
    assert client.setrange(name + "a", 0, "A") == 6
    assert client.getrange(name + "a", 0, 2) == b"Aga"
    assert client.getdel(name + "a") == b"Again!" and client.get(name + "a") is None
    assert client.incr(name + "n") == 1 and client.incrby(name + "n", 41) == 42
    assert client.decr(name + "n") == 41
    assert client.incrbyfloat(name + "f", "0.1") == 0.1
    assert client.incrbyfloat(name + "f", "0.2") == 0.3
    try:
        client.incr(name + "f")
        raise AssertionError("a fraction was incremented")
    except redis.ResponseError as error:
        assert str(error) == "value is not an integer or out of range", error
    tagged = {f"{{{name}}}{n}": str(n) for n in range(5)}
    assert client.mset(tagged)
    assert client.mget(list(tagged)) == [value.encode() for value in tagged.values()]
    assert not client.msetnx({f"{{{name}}}9": "9", f"{{{name}}}0": "0"})
    assert client.exists(f"{{{name}}}9") == 0
    assert client.object("encoding", f"{{{name}}}0") == b"int"
    assert client.memory_usage(f"{{{name}}}0") > 0
    assert client.type(f"{{{name}}}0") == b"string"
    assert client.touch(*tagged) == 5 and client.unlink(*tagged) == 5
    pipe = client.pipeline(transaction=False)
    for n in range(200):
        pipe.set(f"{name}p:{n}", n)
        pipe.incr(f"{name}p:{n}")
    assert pipe.execute() == [answer for n in range(200) for answer in (True, n + 1)]
    for n in range(200):
        assert client.delete(f"{name}p:{n}") == 1


def load(addresses):
    """Increments and sets of keys of its own in each thread: every answer is known."""
    stop, errors, done = threading.Event(), [], [0]

    def work(number):
        client, counts, round_ = cluster(addresses), [0] * 200, 0
        while not stop.is_set():
            n = round_ % len(counts)
            key = f"load:{number}:{n}"
            try:
                counts[n] += 1
                if client.incr(key) != counts[n]:
                    errors.append(f"{key} is not {counts[n]}")
                    return
                client.set(key + ":s", round_, ex=1000)
                if client.get(key + ":s") != str(round_).encode():
                    errors.append(f"{key}:s is not {round_}")
            except redis.RedisError as error:
                errors.append(repr(error))
            round_ += 1
        for n, count in enumerate(counts):
            if count and client.get(f"load:{number}:{n}") != str(count).encode():
                errors.append(f"load:{number}:{n} is not {count} in the end")
        done[0] += round_

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"rounds": done[0], "errors": errors[:10]}))


what, addresses = sys.argv[1], sys.argv[2:]
if what == "plain":
    clients = [plain(address) for address in addresses]
    for each in clients:
        check(each, clients)
elif what == "cluster":
    client = cluster(addresses)
    check(client, [client])
else:
    load(addresses)
