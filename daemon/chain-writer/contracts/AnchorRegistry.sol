// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Heads of append-only Merkle logs (C2SP tlog-checkpoint: a size and an RFC 6962 root), one per owner and origin.
///
/// Threat model: the gateway's key may be stolen. Its holder can never move a head back, and never give one size
/// two roots; under CONSISTENT it can't rewrite the log's past either, because each new head must come with an
/// RFC 9162 consistency proof from the last. The owner's key only authorises and revokes: in transactions of its own,
/// or by signatures (EIP-712) that somebody else submits, so that it can lie in a safe, hold no money and never meet
/// the gateway's machine. Signatures, and the contracts that may stand for an owner (EIP-1271), are hostile input.
///
/// There is no proxy, no administrator and no way to change this code.
contract AnchorRegistry {
    /// HEAD keeps the newest head. CONSISTENT also demands a consistency proof. HISTORY keeps the root of each size.
    enum Policy { HEAD, CONSISTENT, HISTORY }

    /// What an owner signs, and the gateway too. The policy is in it because the first authorisation registers the
    /// log: without it whoever submits the signature would choose how well the log is kept.
    struct GatewayAuthorization {
        address owner;
        address gateway;
        bytes32 logId; // SHA-256 of the checkpoint's origin line, without its newline
        bytes32 vkeyHash; // SHA-256 of the log's C2SP verifier key, for whoever reads the event
        Policy policy;
        uint64 notBefore; // Unix seconds, both inclusive
        uint64 expiry;
        uint64 nonce; // the log's next one
    }

    /// Takes the right of whatever gateway there is, and every authorisation up to this nonce: one that is signed with
    /// a high nonce beforehand serves in an emergency.
    struct GatewayRevocation {
        address owner;
        bytes32 logId;
        uint64 nonce;
    }

    event Registered(bytes32 indexed logKey, address indexed owner, bytes32 logId, Policy policy);
    event Authorized(bytes32 indexed logKey, address indexed gateway, uint64 expiry, bytes32 vkeyHash);
    /// `nonce` is the least that an authorisation may have from now on.
    event Revoked(bytes32 indexed logKey, address indexed gateway, uint96 nonce);
    /// `checkpointHash` is keccak256(abi.encode(logKey, size, root)): the whole head in one word.
    event Anchored(
        bytes32 indexed logKey,
        uint64 indexed size,
        bytes32 root,
        uint64 previousSize,
        bytes32 checkpointHash
    );

    error NotAuthorized();
    error PolicyFixed();
    error BadGateway();
    error BadOwnerSignature();
    error BadGatewaySignature();
    error BadNonce(uint96 next);
    error NotYetValid();
    error Expired();
    error Stale(uint64 size, uint64 last);
    error Equivocation(uint64 size, bytes32 anchored, bytes32 offered);
    error Inconsistent();
    error TooLarge();

    /// `packed` holds all that `anchor` needs beside the root, so that an anchor touches two slots:
    /// gateway (160 bits) | until (40, Unix seconds) | policy (8) | size (48), from the lowest bit up.
    struct Log {
        bytes32 root; // unused under HISTORY, where `history` has it
        uint256 packed;
        address owner; // zero: not registered
        uint96 nonce; // grows with each authorisation and revocation, of a log that isn't registered too
    }

    uint8 private constant CONSISTENT = uint8(Policy.CONSISTENT);
    uint8 private constant HISTORY = uint8(Policy.HISTORY);
    uint256 private constant UNTIL_SHIFT = 160;
    uint256 private constant POLICY_SHIFT = 200;
    uint256 private constant SIZE_SHIFT = 208;
    uint256 private constant NOT_SIZE = (1 << SIZE_SHIFT) - 1;

    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant AUTHORIZATION = keccak256(
        "GatewayAuthorization(address owner,address gateway,bytes32 logId,bytes32 vkeyHash,uint8 policy,uint64 notBefore,uint64 expiry,uint64 nonce)"
    );
    bytes32 private constant REVOCATION = keccak256("GatewayRevocation(address owner,bytes32 logId,uint64 nonce)");
    /// Half of secp256k1's order (EIP-2): above it stands the second form of every signature.
    uint256 private constant MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    /// isValidSignature(bytes32,bytes), which is also what it answers (EIP-1271).
    bytes4 private constant VALID_SIGNATURE = 0x1626ba7e;

    mapping(bytes32 logKey => Log) private logs;
    mapping(bytes32 logKey => mapping(uint256 size => bytes32 root)) private history;

    // ---------------------------------------------------------------- the owner's part

    /// Lets one gateway anchor the sender's log until a time (Unix seconds, inclusive), in place of the one before. The
    /// first time registers the log; its policy is fixed for good. Voids every authorisation signed before.
    function authorize(bytes32 logId, Policy policy, address gateway, uint64 expiry, bytes32 vkeyHash) external {
        bytes32 logKey = logKeyOf(msg.sender, logId);
        GatewayAuthorization memory given = GatewayAuthorization({
            owner: msg.sender,
            gateway: gateway,
            logId: logId,
            vkeyHash: vkeyHash,
            policy: policy,
            notBefore: 0,
            expiry: expiry,
            nonce: 0
        });
        grant(logKey, logs[logKey], given);
    }

    /// The same by signatures of owner and gateway over one document; whoever submits it pays, and decides nothing.
    function authorizeSigned(
        GatewayAuthorization calldata given,
        bytes calldata ownerSignature,
        bytes calldata gatewaySignature
    ) external {
        bytes32 logKey = logKeyOf(given.owner, given.logId);
        Log storage log = logs[logKey];
        if (given.nonce != log.nonce) revert BadNonce(log.nonce);
        if (block.timestamp < given.notBefore) revert NotYetValid();
        bytes32 digest = digestOf(keccak256(abi.encode(AUTHORIZATION, given)));
        if (given.gateway == address(0)) revert BadGateway();
        if (recover(digest, gatewaySignature) != given.gateway) revert BadGatewaySignature();
        if (!isSignedBy(given.owner, digest, ownerSignature)) revert BadOwnerSignature();
        grant(logKey, log, given);
    }

    /// Takes the right of the sender's gateway, and voids every authorisation signed before.
    function revoke(bytes32 logId) external {
        bytes32 logKey = logKeyOf(msg.sender, logId);
        Log storage log = logs[logKey];
        withdraw(logKey, log, log.nonce + 1);
    }

    /// The same by the owner's signature, submitted by anybody.
    function revokeSigned(GatewayRevocation calldata given, bytes calldata ownerSignature) external {
        bytes32 logKey = logKeyOf(given.owner, given.logId);
        Log storage log = logs[logKey];
        if (given.nonce < log.nonce) revert BadNonce(log.nonce);
        bytes32 digest = digestOf(keccak256(abi.encode(REVOCATION, given)));
        if (!isSignedBy(given.owner, digest, ownerSignature)) revert BadOwnerSignature();
        withdraw(logKey, log, uint96(given.nonce) + 1);
    }

    // ---------------------------------------------------------------- the gateway's part

    /// @param proof RFC 9162 consistency proof from the last head; read under CONSISTENT only, empty for a first head.
    function anchor(bytes32 logKey, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage log = logs[logKey];
        uint256 packed = log.packed;
        if (address(uint160(packed)) != msg.sender || uint40(packed >> UNTIL_SHIFT) < block.timestamp) {
            revert NotAuthorized();
        }
        uint64 last = uint64(packed >> SIZE_SHIFT);
        uint8 policy = uint8(packed >> POLICY_SHIFT);

        if (size <= last) {
            if (size < last || size == 0) revert Stale(size, last);
            bytes32 anchored = policy == HISTORY ? history[logKey][size] : log.root;
            if (anchored != root) revert Equivocation(size, anchored, root);
            return;
        }
        if (size > type(uint48).max) revert TooLarge();

        if (policy == HISTORY) {
            history[logKey][size] = root;
        } else {
            if (policy == CONSISTENT && !consistent(last, log.root, size, root, proof)) revert Inconsistent();
            log.root = root;
        }
        log.packed = packed & NOT_SIZE | uint256(size) << SIZE_SHIFT;
        emit Anchored(logKey, size, root, last, headHash(logKey, size, root));
    }

    // ---------------------------------------------------------------- views

    /// The newest head; (0, 0) where nothing is anchored.
    function head(bytes32 logKey) external view returns (uint64 size, bytes32 root) {
        Log storage log = logs[logKey];
        size = uint64(log.packed >> SIZE_SHIFT);
        root = policyOf(log.packed) == Policy.HISTORY ? history[logKey][size] : log.root;
    }

    /// The root anchored for a size, 0 where there is none: any size under HISTORY, else only the head's.
    function rootAt(bytes32 logKey, uint64 size) external view returns (bytes32) {
        Log storage log = logs[logKey];
        if (policyOf(log.packed) == Policy.HISTORY) return history[logKey][size];
        return size == uint64(log.packed >> SIZE_SHIFT) ? log.root : bytes32(0);
    }

    /// Who may do what. The owner is zero where the log isn't registered; `nonce` is the next authorisation's.
    function registration(bytes32 logKey)
        external
        view
        returns (address owner, Policy policy, address gateway, uint64 until, uint96 nonce)
    {
        Log storage log = logs[logKey];
        uint256 packed = log.packed;
        return (log.owner, policyOf(packed), address(uint160(packed)), uint40(packed >> UNTIL_SHIFT), log.nonce);
    }

    /// RFC 9162 section 2.1.3.2. `leafHash` = SHA-256(0x00 || leaf).
    function verifyInclusion(uint64 size, bytes32 root, uint64 index, bytes32 leafHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        if (index >= size) return false;
        uint256 fn = index;
        uint256 sn = uint256(size) - 1;
        bytes32 hash = leafHash;
        unchecked {
            for (uint256 i = 0; i < proof.length; ++i) {
                if (sn == 0) return false;
                if (fn & 1 == 1 || fn == sn) {
                    hash = node(proof[i], hash);
                    while (fn & 1 == 0 && fn != 0) {
                        fn >>= 1;
                        sn >>= 1;
                    }
                } else {
                    hash = node(hash, proof[i]);
                }
                fn >>= 1;
                sn >>= 1;
            }
        }
        return sn == 0 && hash == root;
    }

    /// RFC 9162 section 2.1.4.2. From an empty tree, and to the same tree, only the empty proof is right.
    function verifyConsistency(
        uint64 firstSize,
        bytes32 firstRoot,
        uint64 secondSize,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) external view returns (bool) {
        return consistent(firstSize, firstRoot, secondSize, secondRoot, proof);
    }

    // ---------------------------------------------------------------- inside

    function grant(bytes32 logKey, Log storage log, GatewayAuthorization memory given) private {
        if (given.gateway == address(0)) revert BadGateway();
        if (given.expiry < block.timestamp) revert Expired();
        if (given.expiry > type(uint40).max) revert TooLarge();
        uint256 kept = log.packed >> POLICY_SHIFT << POLICY_SHIFT;
        if (log.owner == address(0)) {
            log.owner = given.owner;
            kept = uint256(given.policy) << POLICY_SHIFT;
            emit Registered(logKey, given.owner, given.logId, given.policy);
        } else if (policyOf(kept) != given.policy) {
            revert PolicyFixed();
        }
        log.nonce += 1;
        log.packed = kept | uint256(given.expiry) << UNTIL_SHIFT | uint160(given.gateway);
        emit Authorized(logKey, given.gateway, given.expiry, given.vkeyHash);
    }

    function withdraw(bytes32 logKey, Log storage log, uint96 nonce) private {
        uint256 packed = log.packed;
        log.nonce = nonce;
        log.packed = packed >> POLICY_SHIFT << POLICY_SHIFT;
        emit Revoked(logKey, address(uint160(packed)), nonce);
    }

    /// EIP-712. The domain is made anew each time: after a chain has split, a signature is good on one side only.
    function digestOf(bytes32 structHash) private view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN, keccak256("AnchorRegistry"), keccak256("1"), block.chainid, address(this)));
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    /// Whose key signed; zero for what is no signature in its one canonical form (65 bytes, low s, v of 27 or 28).
    function recover(bytes32 digest, bytes calldata signature) private pure returns (address) {
        if (signature.length != 65) return address(0);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > MAX_S || (v != 27 && v != 28)) return address(0);
        return ecrecover(digest, v, bytes32(signature[0:32]), s);
    }

    /// By the owner's own key first, so that an account with code of its own (EIP-7702) keeps it; else the contract at
    /// the owner's address is asked (EIP-1271). It is asked by STATICCALL: it can call back here, but change nothing;
    /// and of what it answers one word is read.
    function isSignedBy(address owner, bytes32 digest, bytes calldata signature) private view returns (bool signed) {
        if (owner == address(0)) return false;
        if (recover(digest, signature) == owner) return true;
        bytes memory question = abi.encodeWithSelector(VALID_SIGNATURE, digest, signature);
        assembly ("memory-safe") {
            let answered := staticcall(gas(), owner, add(question, 32), mload(question), 0, 32)
            signed := and(and(answered, gt(returndatasize(), 31)), eq(mload(0), VALID_SIGNATURE))
        }
    }

    function logKeyOf(address owner, bytes32 logId) private pure returns (bytes32) {
        return keccak256(abi.encode(owner, logId));
    }

    function consistent(
        uint256 firstSize,
        bytes32 firstRoot,
        uint256 secondSize,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) private view returns (bool) {
        if (firstSize > secondSize) return false;
        if (firstSize == secondSize) return proof.length == 0 && firstRoot == secondRoot;
        if (firstSize == 0) return proof.length == 0;
        unchecked {
            uint256 fn = firstSize - 1;
            uint256 sn = secondSize - 1;
            while (fn & 1 == 1) {
                fn >>= 1;
                sn >>= 1;
            }
            uint256 i = 0;
            bytes32 fr = firstRoot;
            // The first tree is a whole subtree of the second exactly where its size is a power of two (fn is 0
            // here): its root then starts the path and isn't sent.
            if (fn != 0) {
                if (proof.length == 0) return false;
                fr = proof[0];
                i = 1;
            } else if (proof.length == 0) {
                return false;
            }
            bytes32 sr = fr;
            for (; i < proof.length; ++i) {
                if (sn == 0) return false;
                bytes32 sibling = proof[i];
                if (fn & 1 == 1 || fn == sn) {
                    fr = node(sibling, fr);
                    sr = node(sibling, sr);
                    while (fn & 1 == 0 && fn != 0) {
                        fn >>= 1;
                        sn >>= 1;
                    }
                } else {
                    sr = node(sr, sibling);
                }
                fn >>= 1;
                sn >>= 1;
            }
            return sn == 0 && fr == firstRoot && sr == secondRoot;
        }
    }

    /// SHA-256(0x01 || left || right) by the precompile 0x02: Solidity's own sha256() would copy its input twice.
    function node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 1)
            mstore(add(at, 1), left)
            mstore(add(at, 33), right)
            // Fails only for want of gas, and then nothing may be believed.
            if iszero(staticcall(gas(), 2, at, 65, 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
    }

    /// keccak256(abi.encode(logKey, size, root)) without moving the free memory pointer.
    function headHash(bytes32 logKey, uint64 size, bytes32 root) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, logKey)
            mstore(add(at, 32), size)
            mstore(add(at, 64), root)
            hash := keccak256(at, 96)
        }
    }

    function policyOf(uint256 packed) private pure returns (Policy) {
        return Policy(uint8(packed >> POLICY_SHIFT));
    }
}
